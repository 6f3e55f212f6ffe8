"""Every private name of scikit-learn and imbalanced-learn that the package needs.

They may move in any release; this file is where that is mended.
"""

from __future__ import annotations

import sys

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._metadata_requests import RequestMethod
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "RequestMethod",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "raise_for_params",
    "routing_enabled",
    "safe_indexing",
    "sampler_tags",
    "validate_parameter_constraints",
]


def sampler_tags(tags):
    """Return ``tags`` of an over-sampler, with imbalanced-learn's own where it is imported.

    imbalanced-learn's checks read tags that scikit-learn does not have; who runs them has imported
    it.
    """
    extended = sys.modules.get("imblearn.utils._tags")
    if extended is not None:
        tags = extended.Tags(estimator_type=None, target_tags=tags.target_tags)
        tags.input_tags = extended.InputTags(dataframe=True)
        tags.sampler_tags = extended.SamplerTags()
    tags.estimator_type = "sampler"
    return tags
