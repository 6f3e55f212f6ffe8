"""Kernel density estimation with a learned kernel: the Exemplar VAE for scikit-learn."""

from ._augment import ExemplarAugmenter
from ._augmented_classifier import AugmentedClassifier
from ._exemplar_vae import ExemplarVAE
from ._oversampler import ExemplarOverSampler
from ._version import __version__

__all__ = [
    "AugmentedClassifier",
    "ExemplarAugmenter",
    "ExemplarOverSampler",
    "ExemplarVAE",
    "__version__",
]
