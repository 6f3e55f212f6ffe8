"""The figures that density.py's table makes of a curve."""

import pytest
from _density_table import time_to

CURVE = [(10, -100.0), (20, -90.0), (30, -80.0)]


@pytest.mark.parametrize("target, expected", [(-95.0, "15"), (-110.0, "at most 10"), (-70.0, "")])
def test_a_target_is_passed_between_the_points_of_a_curve(target, expected):
    assert time_to(target, CURVE) == expected
