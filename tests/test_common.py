"""scikit-learn's own checks, those of check_estimator and those it leaves out."""

import pytest
from _models import small_flow, small_vae
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_exemplar_vae import (
    AugmentedClassifier,
    ExemplarAugmenter,
    ExemplarFlow,
    ExemplarOverSampler,
)

# A stochastic fit sees other batches when a row stands there twice. scikit-learn exempts KMeans and
# others for the same reason (scikit-learn #16298); test_weights.py tests it statistically.
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "stochastic fit; see test_weights.py",
}
# A row that stands there twice gets two partners, and one of weight two a single one.
PARTNERS = {"check_sample_weight_equivalence_on_dense_data": "a partner a row, not a weight"}


def keeps_its_start(estimator) -> bool:
    """Whether the few rows of that check leave a flow at its start, which has no such exemption."""
    return isinstance(estimator, ExemplarFlow) and estimator.early_stopping


@parametrize_with_checks(
    [
        small_vae(),
        small_vae(prior="gaussian"),
        small_vae(n_exemplars=10, early_stopping=False),
        small_vae(architecture="hierarchical", prior="vamp", n_pseudo_inputs=10),
        small_flow(),
        small_flow(prior="exemplar", n_exemplars=10, early_stopping=False),
        small_flow(prior="gaussian"),
    ],
    expected_failed_checks=lambda estimator: {} if keeps_its_start(estimator) else WEIGHTS,
)
def test_check_estimator(estimator, check):
    check(estimator)


# What fit_transform returns is augmented, and what transform returns is not.
AUGMENTS = {
    "check_transformer_general": "fit_transform(X) is not fit(X).transform(X), by design",
    "check_transformer_data_not_an_array": "fit_transform(X) is not fit(X).transform(X), by design",
}
AUGMENTER = ExemplarAugmenter(small_vae(), random_state=0)
EXEMPTIONS = {"ExemplarAugmenter": AUGMENTS, "AugmentedClassifier": PARTNERS}


@parametrize_with_checks(
    [
        AUGMENTER,
        ExemplarOverSampler(estimator=small_vae(), random_state=0),
        AugmentedClassifier(LogisticRegression(), AUGMENTER, random_state=0),
        AugmentedClassifier(SGDClassifier(), AUGMENTER, n_passes=3, random_state=0),
    ],
    expected_failed_checks=lambda estimator: EXEMPTIONS.get(type(estimator).__name__, {}),
)
def test_check_augmenting_estimators(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_dataframe_column_names_consistency,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize(
    "estimator",
    [
        AUGMENTER,
        ExemplarOverSampler(estimator=small_vae()),
        AugmentedClassifier(LogisticRegression(), AUGMENTER),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_more_checks_of_augmenting_estimators(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_get_feature_names_out_pandas,
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_set_output_transform_polars,
        checks.check_global_output_transform_pandas,
        checks.check_inplace_ensure_writeable,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize("density", [small_vae(), small_flow()], ids=["vae", "flow"])
def test_checks_left_out_of_check_estimator(check, density):
    check(type(density).__name__, density)
