"""A failed fit leaves an estimator as it was."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def rollback_on_error(estimator):
    """Give ``estimator`` back the attributes that it had, if the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
