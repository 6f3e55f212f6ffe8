"""Priors p(z) over codes, one file each; adding one adds a file and a line here.

Every prior gives its log-density at codes (``log_prob``), draws codes (``sample``) and draws codes
near given rows (``sample_near``). ``needs_exemplars`` says whether it is made of them; then it also
takes the exemplars' part of a density and adds the rest (``add_base``). ``learned`` names what fit
tells the user of a prior, and the class method ``untrained`` makes one where training starts.

Priors of an Exemplar VAE also say what they are centered on (``centers``, made of the exemplars or
of the network), and propose codes for importance sampling of a row's posterior (``proposal``);
those without exemplars say how much memory a code takes (``floats_per_code``).
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
