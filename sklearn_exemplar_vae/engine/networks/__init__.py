"""Encoder-decoder networks, one file an architecture; adding one adds a file and a line here.

Every network answers four questions: ``encode``, rows to mean and log-variance of q(z | x);
``decode``, codes to the parameters of p(x | z), along the mean of a lower level if there is one;
``decode_posterior``, the same for codes of given rows, and what the lower level adds to their
log-density; ``decode_prior``, the same for codes of new rows. ``n_noise`` columns of normal noise
draw all levels of a row, ``floats_per_row`` of it are in memory on its way through, and
``is_linear`` says whether it is still a kernel density estimate. The invertible network of flows
has no decoder to choose; it is in `invertible`.
"""

from .convolutional import ConvolutionalNetwork
from .hierarchical import HierarchicalNetwork
from .mlp import MLPNetwork

NETWORKS = {"mlp": MLPNetwork, "hierarchical": HierarchicalNetwork, "conv": ConvolutionalNetwork}

__all__ = ["NETWORKS", "ConvolutionalNetwork", "HierarchicalNetwork", "MLPNetwork"]
