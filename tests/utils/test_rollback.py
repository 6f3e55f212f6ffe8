"""A failed fit leaves an estimator as it was."""

from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_exemplar_vae.utils._rollback import rollback_on_error
from tests._models import correlated, small_flow, small_vae


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_failed_block_did_to_attributes_is_undone(error):
    estimator = SimpleNamespace(kept=1, changed=2, deleted=3)
    with pytest.raises(error), rollback_on_error(estimator):
        estimator.changed, estimator.added = 20, 30
        del estimator.deleted
        raise error
    assert vars(estimator) == {"kept": 1, "changed": 2, "deleted": 3}


def test_what_a_block_did_stays_if_it_does_not_fail():
    estimator = SimpleNamespace(changed=2)
    with rollback_on_error(estimator):
        estimator.changed, estimator.added = 20, 30
    assert vars(estimator) == {"changed": 20, "added": 30}


@pytest.mark.parametrize("make", [small_vae, small_flow])
def test_a_failed_fit_leaves_the_fitted_model(make):
    X = correlated(40, 3)
    model = make().fit(X)
    before, attributes = model.score_samples(X), set(vars(model))
    with pytest.raises(ValueError, match="zero"):
        model.fit(X[:, :2], sample_weight=np.zeros(40))
    assert set(vars(model)) == attributes
    np.testing.assert_array_equal(model.score_samples(X), before)
