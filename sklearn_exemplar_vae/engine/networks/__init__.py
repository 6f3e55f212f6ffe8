"""Encoder-decoder networks, one file an architecture; adding one adds a file and a line here."""

from .mlp import MLPNetwork

NETWORKS = {"mlp": MLPNetwork}

__all__ = ["NETWORKS", "MLPNetwork"]
