"""Importance sampling: the proposal for a row, sums over cells of exemplars, the estimate."""
