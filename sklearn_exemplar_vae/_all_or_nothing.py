"""A failed fit leaves an estimator as it was."""

from contextlib import contextmanager


@contextmanager
def all_or_nothing(estimator):
    """Give ``estimator`` the attributes back that it had, if the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
