"""Kernel density estimation with a learned kernel: the Exemplar VAE for scikit-learn."""

from ._exemplar_vae import ExemplarVAE
from ._version import __version__

__all__ = ["ExemplarVAE", "__version__"]
