"""Synthetic training rows: a transformer, an over-sampler and a classifier."""

from ._augmented_classifier import AugmentedClassifier
from ._augmenter import ExemplarAugmenter
from ._oversampler import ExemplarOverSampler

__all__ = ["AugmentedClassifier", "ExemplarAugmenter", "ExemplarOverSampler"]
