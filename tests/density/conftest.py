"""Rows, and both densities fitted to them."""

import pytest

from tests._models import correlated, small_flow, small_vae


@pytest.fixture(scope="module")
def X():
    return correlated(120, 4)


@pytest.fixture(scope="module", params=["vae", "flow"])
def model(request, X):
    return (small_vae(n_components=2) if request.param == "vae" else small_flow()).fit(X)
