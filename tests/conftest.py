import os
import warnings

import pytest

# Before scipy is imported: scikit-learn's checks then try arrays of other libraries too.
os.environ.setdefault("SCIPY_ARRAY_API", "1")


@pytest.fixture(autouse=True)
def short_fits(recwarn):
    """Most tests stop training early on purpose; the warning has its own test."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
