"""Priors p(z) over codes, one file each; adding one adds a file and a line here.

Every prior answers three questions: its log-density at codes (``log_prob``), a draw of codes
(``sample``) and a draw of codes near given rows (``sample_near``). Those of an Exemplar VAE answer
two more: what they are centered on (``centers``, made of the exemplars or of the network), and a
proposal for importance sampling of a row's posterior (``proposal``). ``learned`` names what fit
tells the user of a prior, and the class method ``untrained`` makes one where training starts.
"""

from .exemplar import ExemplarPrior
from .gaussian import GaussianPrior
from .mixed import MixedPrior, NormalPrior
from .vamp import VampPrior

VAE_PRIORS = {"exemplar": ExemplarPrior, "vamp": VampPrior, "gaussian": GaussianPrior}
FLOW_PRIORS = {"mixed": MixedPrior, "exemplar": ExemplarPrior, "gaussian": NormalPrior}

__all__ = [
    "FLOW_PRIORS",
    "VAE_PRIORS",
    "ExemplarPrior",
    "GaussianPrior",
    "MixedPrior",
    "NormalPrior",
    "VampPrior",
]
