"""Kernel density estimation with a learned kernel: the Exemplar VAE and an exemplar flow."""

from ._version import __version__
from .augmentation import AugmentedClassifier, ExemplarAugmenter, ExemplarOverSampler
from .density import ExemplarFlow, ExemplarVAE

__all__ = [
    "AugmentedClassifier",
    "ExemplarAugmenter",
    "ExemplarFlow",
    "ExemplarOverSampler",
    "ExemplarVAE",
    "__version__",
]
