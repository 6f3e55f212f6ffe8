"""Kernel density estimation with a learned kernel: the Exemplar VAE and an exemplar flow."""

from ._augment import ExemplarAugmenter
from ._augmented_classifier import AugmentedClassifier
from ._exemplar_flow import ExemplarFlow
from ._exemplar_vae import ExemplarVAE
from ._oversampler import ExemplarOverSampler
from ._version import __version__

__all__ = [
    "AugmentedClassifier",
    "ExemplarAugmenter",
    "ExemplarFlow",
    "ExemplarOverSampler",
    "ExemplarVAE",
    "__version__",
]
