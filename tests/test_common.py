"""scikit-learn's own checks, those of check_estimator and those it leaves out."""

import pytest
from _models import small_vae
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

# A stochastic fit sees other batches when a row stands there twice. scikit-learn exempts KMeans and
# others for the same reason (scikit-learn #16298); test_weights.py tests it statistically.
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "stochastic fit; see test_weights.py",
}


@parametrize_with_checks(
    [
        small_vae(),
        small_vae(prior="gaussian"),
        small_vae(n_exemplars=10, early_stopping=False),
        small_vae(architecture="hierarchical", prior="vamp", n_pseudo_inputs=10),
    ],
    expected_failed_checks=lambda estimator: WEIGHTS,
)
def test_check_estimator(estimator, check):
    check(estimator)


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
def test_checks_left_out_of_check_estimator(check):
    check("ExemplarVAE", small_vae())
