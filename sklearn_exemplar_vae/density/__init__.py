"""The density estimators."""

from ._exemplar_flow import ExemplarFlow
from ._exemplar_vae import ExemplarVAE

__all__ = ["ExemplarFlow", "ExemplarVAE"]
