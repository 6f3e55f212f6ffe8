"""Brute force beside which the engine's sums are tested."""

import math

import torch


def mixture_log_density(codes, centers, weights, bandwidth, kept, totals=None):
    """Return log sum_n w_n N(z; mu_n, s^2 I) / total over the kept exemplars, term by term.

    The total is the sum of the kept weights unless ``totals`` gives another.
    """
    n_components, result = codes.shape[1], []
    for row, code in enumerate(codes.tolist()):
        total, numerator = 0.0, 0.0
        for n, (center, weight) in enumerate(zip(centers.tolist(), weights.tolist(), strict=True)):
            if kept[row, n]:
                distance = math.dist(code, center) ** 2
                normal = math.exp(-0.5 * distance / bandwidth**2)
                numerator += weight * normal / (2 * math.pi * bandwidth**2) ** (n_components / 2)
                total += weight
        if totals is not None:
            total = totals[row].item()
        result.append(math.log(numerator / total) if numerator > 0 else -math.inf)
    return torch.tensor(result, dtype=torch.float64)
