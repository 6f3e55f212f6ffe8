import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning


@pytest.fixture(autouse=True)
def short_fits(recwarn):
    """Most tests stop training early on purpose; the warning has its own test."""
    warnings.simplefilter("ignore", ConvergenceWarning)
