"""ExemplarVAE: a kernel density estimator whose kernel is a neural network."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ._columns import check_scales_are_finite
from ._fitting import BaseTrainedDensity
from ._plan import (
    WEIGHT_DECAY,
    check_grey_levels,
    check_image_shape,
    check_layer_sizes,
    check_unit_interval,
    choose_batch_size,
    choose_n_components,
    holds_only_zeros_and_ones,
    plan_exemplars,
)
from ._rows import column_means
from ._scaling import GreyLevels, Standardised, Unscaled
from .engine.devices import choose_autocast
from .engine.importance import importance_noise
from .engine.kde_start import kernel_start, principal_component_start
from .engine.model import LIKELIHOODS, PRIORS, ExemplarModel, build_model
from .engine.networks import NETWORKS
from .engine.vamp import draw_without_replacement
from .engine.workers import current_workers

# Epochs of KL warm-up for a network that starts from nothing.
DEFAULT_KL_WARMUP = 3
# The kernel density estimate of more columns would take long to make, and gigabytes for its maps.
MAX_FLOOR_COMPONENTS = 2000


class ExemplarVAE(BaseTrainedDensity):
    r"""Kernel density estimation with a kernel learned by a neural network.

    The density is a mixture over the stored rows (exemplars) x_n,

    .. math:: p(x) = \sum_n w_n \int r(z \mid x_n)\, p(x \mid z)\, dz,
              \qquad r(z \mid x_n) = \mathcal N(z;\, \mu(x_n),\, s^2 I):

    an exemplar is encoded, its code is perturbed with bandwidth s, the code is decoded [1]_. With
    linear maps this is `sklearn.neighbors.KernelDensity`, and for continuous data training starts
    there: at a kernel density estimate whose bandwidth and shape maximise the likelihood of
    left-out rows. Early stopping keeps that estimate unless held-out rows show that training
    improved on it.

    Columns are standardised inside; log-densities are in the units of X.

    Where the processes of a torch.distributed group call fit with the same X, each trains on its
    share of every batch, all codes are every process's exemplars, and all end with one model.

    Parameters
    ----------
    n_components : int or None, default=None
        Columns of a code. None takes ``n_features``, and above 40 of them 40, or half the rows if
        that is less. At most ``n_features`` for continuous data, where fewer start training from
        principal components. With early stopping, where None gives fewer than ``n_features``, they
        are kept only if held-out rows show them to be better than a kernel density estimate of all
        columns; otherwise that is the model, and ``n_components_`` is ``n_features`` (up to 2000
        columns, X in memory).
    architecture : {"mlp", "hierarchical", "conv"}, default="mlp"
        "mlp": gated dense layers. "hierarchical": the same with a second level of codes below,
        p(x | z_1, z_2) p(z_1 | z_2), of as many columns; the prior stands on z_2, which is what
        `transform` returns. "conv": such two levels over gated convolutions, for images. Only "mlp"
        starts from a density estimate, and not with the "vamp" prior.
    prior : {"exemplar", "vamp", "gaussian"}, default="exemplar"
        "exemplar": the mixture above. For comparison "vamp", a mixture of q(z | u) over
        `n_pseudo_inputs` learned rows u [2]_, and "gaussian", the N(0, I) of the plain VAE. Both
        ignore `bandwidth`, `rtol`, `n_exemplars`, `n_neighbors` and `leave_one_out`.
    likelihood : {"auto", "gaussian", "bernoulli", "logistic"}, default="auto"
        p(x | z). "gaussian": continuous columns, a learned variance each. "bernoulli": columns in
        [0, 1]; values strictly between are probabilities of a one, drawn anew at every visit in
        training (exemplars are the rows as they are), and then scores are minus cross-entropies
        rather than densities. "logistic": grey levels, integers from 0 to 255, whose scores are
        probabilities rather than densities: a logistic distribution cut into levels. "auto":
        bernoulli where X holds only zeros and ones (both of them), else gaussian.
    hidden_layer_sizes : int or sequence of int, default=(300, 300)
        Units of the encoder's layers, reversed in the decoder. In "conv" of the dense layers
        between the levels; in "hierarchical" a single size makes two layers where two inputs meet.
    image_shape : tuple of (channels, height, width) or None, default=None
        What a row is; height and width divisible by 4. Only used by "conv", which needs it.
    n_pseudo_inputs : int, default=500
        Components of the "vamp" prior, at most one a training row; they start as such rows. Only
        used by "vamp".
    n_exemplars : int, "auto", "batch" or None, default="auto"
        Exemplars M that a row sees at a training step. "batch": the other rows of its minibatch, as
        fast as a plain VAE but for grey rows, which are encoded twice. A random minibatch doubles
        after 60 % and again after 85 % of the epochs, so that in the end the bandwidth is learned
        for more exemplars. An int: so many, drawn without replacement, the minibatch among them.
        None: all others. "auto": all up to 500 rows, "batch" beyond. Scores and samples always use
        all exemplars, for which the bandwidth is refitted.
    n_neighbors : int, "auto" or None, default="auto"
        Whether a row's exemplars are near it. "auto": where they are the minibatch and there are
        more than 20 000 training rows, minibatches are random in the first 70 % of the epochs and
        put together from neighbourhoods of codes in the rest; a row then meets its nearest
        exemplars at little cost, and those it does not meet count as zero in a sum over all, so
        that the objective stays a bound. An int, at most M: retrieval augmented training [1]_; of
        its M exemplars a row sees the k nearest, which are found for all rows once an epoch, or
        once in several while codes hardly move. Where the exemplars are the minibatch, only the
        last tenth of the epochs does so (none of fewer than ten), from half of the rows, at three
        times the cost of others.
        None: neither.
    retrieval : {"auto", "exact", "pynndescent"}, default="auto"
        How nearest codes are found, in training and in `kneighbors`: by matrix products, or nearly
        all of them by pynndescent. "auto" takes what costs less; `kneighbors` is then exact. May be
        changed after fit.
    leave_one_out : bool, default=True
        Whether in training a row, and every exact copy of it, is left out of its own prior.
        Without, a model can memorise.
    bandwidth : float, {"loo", "scott", "silverman"}, default="loo"
        Where the kernel of the "exemplar" prior starts on continuous data, with "mlp"; training
        goes on from there. "loo": the bandwidth, at least 0.01 (in standardised units), and shape
        of the highest left-out likelihood. A float of at least 0.002 or a rule of thumb starts from
        `KernelDensity`'s round kernel of that bandwidth.
    kl_warmup : float or "auto", default="auto"
        Epochs over which the weight of the Kullback-Leibler term rises from 0 to 1. "auto": 0 where
        training starts from a density estimate, else 3.
    n_importance_samples : int, default=32
        Samples S in `score_samples`. On average scores are a little too low, and of rows unlike any
        in fit, of which the encoder knows nothing, much too low. May be changed after fit.
    n_bound_samples : int, default=1
        Samples K in a row's training bound, which then is the importance-weighted one of [3]_, in
        the last 30 % of `max_iter` epochs; in none if training stops before, or of fewer than four.
        With 5 such an epoch takes three to four times as long, and a step K times the decoder's
        memory. Meant for the end of long trainings on images; before that, one sample teaches more
        in the same time.
    rtol : float, default=0
        Relative tolerance of the densities of `score_samples`, which in their logarithms is as many
        nats: 0 sums over all exemplars. With 0.01, say, a row leaves out those that are so far from
        it that together they cannot add more than that, so that a score takes less time than
        in proportion to the number of exemplars where they lie in clusters. Worth it from some
        hundred thousand exemplars on. May be changed after fit.
    batch_size : int or "auto", default="auto"
        Rows of a step, at most M + 1 with an int `n_exemplars`. "auto": 250, and where training
        does not start from a density estimate at most a fiftieth of the rows, but at least 25.
    learning_rate_init : float, default=0.001
        Adam's step size at the start, falling along a cosine to almost zero at `max_iter`.
        Where training does not start from a density estimate (see `bandwidth`), the networks'
        weights shrink at every step by a tenth of that step size, relative to themselves.
    max_iter : int, default=100
        Epochs at most. 0 keeps the start: a kernel density estimate on continuous data.
    early_stopping : bool, default=True
        Whether to hold rows out, stop when their log-density no longer rises and keep the best
        weights. The rows held out become exemplars afterwards. Of fewer than 20 rows none can be
        held out, nor of a few rows of many copies each, which stay together; then a start that is a
        density estimate is kept as it is.
    validation_fraction : float, default=0.1
        Share of the rows held out, at least 10 rows and at most 2000 (1000 of 50 000 rows, 500 of
        more than 100 000); copies of a row go together and count as one.
    n_iter_no_change : int, default=10
        Epochs without improvement before stopping.
    tol : float, default=1e-3
        Nats a row that count as improvement. A density estimate, be it the start or that of all
        columns, is given up only for a gain of more than two standard errors.
    warm_start : bool, default=False
        Whether a second call of fit trains on from the first one's weights and scaling. Of the same
        rows it holds out those that the first did; of others it may hold out some that the first
        trained on, and then stops later than it should. The first one's model is given up only for
        a gain of more than two standard errors, and ``kl_warmup="auto"`` is 0.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the network's matrix products in training. "auto" takes bfloat16 with a bernoulli
        likelihood on processors that gain by it.
    device : str, default="auto"
        "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:1".
    verbose : bool or int, default=False
        Whether to print a line an epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds everything random in fit, and the noise of scores.

    Attributes
    ----------
    bandwidth_ : float
        s, in the units of codes. Only with the exemplar prior.
    n_exemplars_ : int
        Exemplars kept: rows of positive weight.
    n_components_ : int
        Columns of a code.
    likelihood_ : str
        p(x | z): "gaussian", "bernoulli" or "logistic".
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if it had string names.
    n_iter_ : int
        Epochs trained.
    loss_curve_ : list of float
        Minus the mean training bound of every epoch, nats a row in the units of X; during a warm-up
        with the weight the Kullback-Leibler term then has.
    validation_scores_ : list of float or None
        Mean held-out log-density after every epoch, preceded by the start's if that is a density
        estimate. None without early stopping, or if no rows could be held out.
    best_validation_score_ : float or None
        That of the weights kept.
    device_ : str
        Where the model is.

    See Also
    --------
    ExemplarFlow : For tables of numbers.
    sklearn.neighbors.KernelDensity : The fixed kernel.
    sklearn.mixture.GaussianMixture : A few components, fitted.

    References
    ----------
    .. [1] Norouzi, S., Fleet, D. J. and Norouzi, M. (2020). Exemplar VAE: Linking generative
       models, nearest neighbor retrieval, and data augmentation. NeurIPS 33.
    .. [2] Tomczak, J. M. and Welling, M. (2018). VAE with a VampPrior. AISTATS.
    .. [3] Burda, Y., Grosse, R. and Salakhutdinov, R. (2016). Importance weighted autoencoders.
       ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.neighbors import KernelDensity
    >>> from sklearn_exemplar_vae import ExemplarVAE
    >>> X_train, X_test = train_test_split(load_wine().data, random_state=0)
    >>> model = ExemplarVAE(random_state=0).fit(X_train)
    >>> model.score_samples(X_test).shape
    (45,)
    >>> rival = KernelDensity(bandwidth="scott").fit(X_train)
    >>> bool(model.score(X_test) > rival.score(X_test))
    True
    >>> model.sample(3, random_state=0).shape
    (3, 13)
    """

    _parameter_constraints: dict = {
        **BaseTrainedDensity._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "architecture": [StrOptions(set(NETWORKS))],
        "prior": [StrOptions(set(PRIORS))],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS})],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like", None],
        "n_pseudo_inputs": [Interval(Integral, 1, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
        "n_bound_samples": [Interval(Integral, 1, None, closed="left")],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    }
    _changeable = ("n_importance_samples", "rtol")

    def __init__(
        self,
        n_components=None,
        *,
        architecture="mlp",
        prior="exemplar",
        likelihood="auto",
        hidden_layer_sizes=(300, 300),
        image_shape=None,
        n_pseudo_inputs=500,
        n_exemplars="auto",
        n_neighbors="auto",
        retrieval="auto",
        leave_one_out=True,
        bandwidth="loo",
        kl_warmup="auto",
        n_importance_samples=32,
        n_bound_samples=1,
        rtol=0.0,
        batch_size="auto",
        learning_rate_init=0.001,
        max_iter=100,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-3,
        warm_start=False,
        precision="auto",
        device="auto",
        verbose=False,
        random_state=None,
    ):
        self.n_components = n_components
        self.architecture = architecture
        self.prior = prior
        self.likelihood = likelihood
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.n_pseudo_inputs = n_pseudo_inputs
        self.n_exemplars = n_exemplars
        self.n_neighbors = n_neighbors
        self.retrieval = retrieval
        self.leave_one_out = leave_one_out
        self.bandwidth = bandwidth
        self.kl_warmup = kl_warmup
        self.n_importance_samples = n_importance_samples
        self.n_bound_samples = n_bound_samples
        self.rtol = rtol
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _start(self, X, weights, groups, held_out, generator, in_file) -> ExemplarModel | None:
        """Make the untrained model; the density estimate to keep unless training beats it.

        On continuous data the model is a kernel density estimate, along principal components where
        codes have fewer columns than X. The latter can be worse than one along all columns, and
        still be after training, so that unless `n_components` says otherwise that is the one to
        beat where there are rows held out to judge by. Its codes are as large as X: not for rows
        that stay in a file.
        """
        likelihood, binary = self.likelihood, holds_only_zeros_and_ones(X)
        if likelihood == "auto":
            likelihood = "bernoulli" if binary else "gaussian"
        self.likelihood_ = likelihood
        self._check_domain(X)
        n_features, has_start = X.shape[1], self._has_start()
        n_components = choose_n_components(self.n_components, *X.shape, has_start)
        chosen = pseudo_inputs = None
        if likelihood == "gaussian":
            self._scaling = Standardised.fitted(X, weights)
            check_scales_are_finite(self._scaling.scale, getattr(self, "feature_names_in_", None))
        else:
            self._scaling = GreyLevels() if likelihood == "logistic" else Unscaled()
        if has_start:
            chosen = self._rows_to_start_from(X, weights, groups, generator)
        if self.prior == "vamp":
            # Not rows held out: they are to judge a prior that does not know them.
            eligible = np.ones(len(X), dtype=bool) if held_out is None else ~held_out
            shares = torch.from_numpy(np.where(eligible, weights, 0.0) / weights.max())
            n_chosen = min(self.n_pseudo_inputs, int(eligible.sum()))
            rows = draw_without_replacement(shares, n_chosen, generator)
            pseudo_inputs = self._to_model(X[rows.sort().values.numpy()]).float().cpu()
        row_mean = torch.from_numpy(
            self._scaling.transform(column_means(X, weights)[None])[0]
        ).float()
        untrained = partial(
            self._untrained,
            chosen,
            n_rows=len(X),
            binary=binary,
            row_mean=row_mean,
            pseudo_inputs=pseudo_inputs,
            generator=generator,
        )
        self._model = untrained(n_components)
        if not has_start:
            return None
        # Unjudged it could be a density of next to nothing off the rows' own span.
        is_judged = held_out is not None
        if self.n_components is None and self.prior == "exemplar" and is_judged and not in_file:
            if n_components < n_features <= MAX_FLOOR_COMPONENTS:
                return untrained(n_features)
        return self._model

    def _has_start(self) -> bool:
        is_linear = self.architecture == "mlp" and self.prior != "vamp"
        return is_linear and self.likelihood_ == "gaussian"

    def _untrained(
        self, chosen, n_components, *, n_rows, row_mean, generator, **rest
    ) -> ExemplarModel:
        """A model of so many codes; with rows ``chosen`` a density estimate of them.

        ``chosen`` are rows, weights and groups as `kernel_start` wants them, or None; the ``rest``
        are arguments of `build_model`.
        """
        start = None
        if chosen is not None and self.prior == "exemplar":
            start = kernel_start(*chosen, n_components, self.bandwidth, n_rows, generator)
        elif chosen is not None:
            start = principal_component_start(*chosen, n_components, generator)
        structure = self._structure(len(row_mean))
        structure |= {"n_components": n_components, "likelihood": self.likelihood_}
        structure.pop("n_pseudo_inputs")
        model = build_model(
            len(row_mean), **structure, start=start, row_mean=row_mean, generator=generator, **rest
        )
        return model.to(self.device_)

    def _score_noise(self, model):
        return importance_noise(self.n_importance_samples, model.n_noise, self._score_seed)

    def _training_settings(self, n_rows, device, floor):
        has_exemplars = self._model.prior.needs_exemplars
        n_workers = current_workers().size
        exemplars = plan_exemplars(
            n_rows,
            # Of one process: together they take as many steps as one alone.
            choose_batch_size(self.batch_size, n_rows // n_workers, self._has_start()),
            self.n_exemplars if has_exemplars else "batch",
            self.n_neighbors if has_exemplars else None,
            self.retrieval,
        )
        kl_warmup = self.kl_warmup
        if kl_warmup == "auto":
            kl_warmup = DEFAULT_KL_WARMUP if floor is None else 0
        autocast = choose_autocast(self.precision, self.likelihood_, device)
        settings = {"kl_warmup": kl_warmup, "autocast": autocast}
        settings["n_bound_samples"] = self.n_bound_samples
        settings["weight_decay"] = 0.0 if self._has_start() else WEIGHT_DECAY
        return exemplars._asdict() | settings

    def _go_on(self, X):
        if self.likelihood_ == "bernoulli":
            self._model.likelihood.binary = holds_only_zeros_and_ones(X)

    def _resolved_structure(self, n_features):
        resolved = self._structure(n_features)
        if self.likelihood == "auto":
            resolved["likelihood"] = self.likelihood_
        if self.n_components is None:
            resolved["n_components"] = self.n_components_
        return resolved

    def _structure(self, n_features: int) -> dict:
        return {
            "n_components": self.n_components,
            "architecture": self.architecture,
            "prior": self.prior,
            "likelihood": self.likelihood,
            "hidden_layer_sizes": check_layer_sizes(self.hidden_layer_sizes),
            "image_shape": check_image_shape(self.image_shape, self.architecture, n_features),
            "n_pseudo_inputs": self.n_pseudo_inputs if self.prior == "vamp" else None,
        }

    def _check_domain(self, X, is_scored=False):
        if self.likelihood_ == "bernoulli":
            check_unit_interval(X)
        elif self.likelihood_ == "logistic":
            check_grey_levels(X)
