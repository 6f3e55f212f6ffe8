"""The gradient of a bound by q's parameters by way of the codes, and not of q's density."""

from __future__ import annotations

import torch


class PathGradient:
    """Factors that multiply the gradients of a row's K draws on their way back.

    A bound ``log 1/K sum_k w_k``, ``w_k = p(x | z_k) (p(z_k) / q(z_k | x)) ** kl_weight``, changes
    with the mean and log-variance of q by way of the draws z_k and by way of q's density. The
    density gets them detached: the second way is cut. In expectation it is ``-kl_weight (1 - w_k /
    sum w)`` times the first, so the first is multiplied by one more than that: by one for a single
    draw (Roeder, Wu & Duvenaud 2017), by ``w_k / sum w`` for several and a ``kl_weight`` of one
    (Tucker et al. 2019). The bound is the same and so is the expectation of its gradient, whose
    noise now vanishes as q becomes the posterior. (Where q is much too narrow there is more
    noise.)

    It is used on the way to the bound, and told the weights (`weigh`) once there are any.

    Parameters
    ----------
    kl_weight : float
    """

    def __init__(self, kl_weight: float) -> None:
        self.kl_weight = kl_weight
        self._shares = None

    def weigh(self, log_weights: torch.Tensor) -> None:
        """Keep the shares of the weights (n, K)."""
        self._shares = torch.softmax(log_weights.detach(), 1)[..., None]

    def of_draws(self, codes: torch.Tensor) -> torch.Tensor:
        """Return ``codes`` (n, K, d), drawn from a q that is detached in its density."""
        return with_gradient_times(codes, self._factor)

    def of_condition(self, codes: torch.Tensor) -> torch.Tensor:
        """Return ``codes`` (n, K, d) as the condition of a q(z1 | x, z) whose draws are `of_draws`.

        The density of z1 is detached from them too. The condition's own factor depends on z1 and
        multiplies the part that was cut: another integration by parts.
        """
        return with_gradient_times(codes, self._factor_of_condition)

    def _factor(self) -> torch.Tensor:
        return (1 - self.kl_weight) + self.kl_weight * self._shares

    def _factor_of_condition(self) -> torch.Tensor:
        factor = self._factor()
        # Where the factor is zero the gradient arrives as zero, by that factor of z1.
        share = self.kl_weight * self._shares / factor.clamp_min(torch.finfo(factor.dtype).tiny)
        return 1 - self.kl_weight * (1 - self._shares) * (1 + share)


def with_gradient_times(tensor: torch.Tensor, factor) -> torch.Tensor:
    """Return ``tensor``; its gradient is multiplied by ``factor()`` on the way back."""
    if not tensor.requires_grad:
        return tensor
    alias = tensor.view_as(tensor)
    alias.register_hook(lambda gradient: gradient * factor())
    return alias
