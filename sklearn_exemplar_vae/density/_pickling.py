"""How a fitted density is pickled: the same bytes for the same density, for any device."""

from __future__ import annotations

import copy

import torch

from ..engine.devices import choose_device
from ..engine.importance.proposals import Exemplars


class PortableState:
    """Pickle ``_model``, ``_exemplars`` and ``device_``; BaseEstimator pickles the rest."""

    def __getstate__(self):
        # A copy: what scikit-learn gives is the estimator's own __dict__.
        state = dict(super().__getstate__())
        if "_model" in state:
            # Weights as arrays: a tensor's pickle contains addresses, and joblib's memory, which
            # compares hashes of pickles, would not recognize a fitted density.
            weights = state["_model"].state_dict()
            state["_weights"] = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
            state["_model"] = copy.deepcopy(state["_model"]).to("meta")
            if "_exemplars" in state:  # which fit's own processes have yet to make
                state["_exemplars"] = tuple(tensor.cpu().numpy() for tensor in state["_exemplars"])
            state.pop("_cache", None)  # made again where it is asked for
        return state

    def __setstate__(self, state):
        state = dict(state)
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is not None:
            try:
                self.device_ = str(choose_device(self.device_))
            except ValueError:  # fitted on CUDA, loaded where there is none
                self.device_ = "cpu"
            self._model = self._model.to_empty(device=self.device_)
            # Copies: an array that joblib maps from a file cannot be written to.
            weights = {name: torch.tensor(array) for name, array in weights.items()}
            self._model.load_state_dict(weights)
            if "_exemplars" in state:
                self._exemplars = Exemplars(
                    *(torch.tensor(array, device=self.device_) for array in self._exemplars)
                )
