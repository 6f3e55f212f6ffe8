"""ExemplarVAE: a kernel density estimator whose kernel is a neural network."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import torch

from .._sklearn_compat import Interval, StrOptions
from ..engine.devices import choose_autocast
from ..engine.importance.estimate import ImportanceSampling
from ..engine.initialization.kernel_density import (
    initialize_kernel,
    initialize_principal_components,
)
from ..engine.likelihoods import LIKELIHOODS
from ..engine.model import ExemplarModel, ModelInitialization, ModelStructure, build_model
from ..engine.networks import NETWORKS
from ..engine.priors import VAE_PRIORS
from ..engine.priors.vamp import draw_without_replacement
from ..engine.training.fit import Initialization
from ..engine.training.loop import Schedule
from ..engine.training.objectives import VariationalSchedule
from ..engine.workers import current_workers
from ..utils._rows import column_means
from ._background import fit_binary_frequencies, fit_level_frequencies
from ._defaults import (
    WEIGHT_DECAY,
    check_gray_levels,
    check_image_shape,
    check_layer_sizes,
    check_unit_interval,
    choose_batch_size,
    choose_n_components,
    holds_only_zeros_and_ones,
    plan_exemplars,
)
from ._degenerate_columns import warn_of_degenerate_columns
from ._fit_rows import FitRows
from ._fitting import BaseTrainedDensity
from ._resolution import no_noise
from ._scaling import GrayLevels, Standardized, Unscaled

# Epochs of KL warm-up for a network that starts from nothing.
DEFAULT_KL_WARMUP = 3
# The kernel density estimate of more columns would take long to make, and gigabytes for its maps.
MAX_BASELINE_COMPONENTS = 2000
# Twice the decoder's floor: a narrower kernel could not be split between code and row.
MIN_SPLIT_BANDWIDTH = 2e-3


class ExemplarVAE(BaseTrainedDensity):
    r"""Kernel density estimation with a kernel learned by a neural network.

    The density is a mixture over the stored rows (exemplars) x_n,

    .. math:: p(x) = \sum_n w_n \int r(z \mid x_n)\, p(x \mid z)\, dz,
              \qquad r(z \mid x_n) = \mathcal N(z;\, \mu(x_n),\, s^2 I):

    an exemplar is encoded, its code is perturbed with bandwidth s, the code is decoded [1]_. With
    linear maps this is `sklearn.neighbors.KernelDensity`. On continuous data training starts there,
    at a kernel density estimate whose bandwidth and shape maximize the likelihood of left-out rows.
    With early stopping the trained model is kept only if the left-out likelihood improves. Beside
    it stand a `background` and, where left-out rows gain by it, a Gaussian mixture
    (`max_gaussians`).

    Columns are standardized inside; log-densities are in the units of X. Values that repeat have no
    density: in fit a rounded column gets uniform noise of its step, unless X stays in a file. Do
    not use the default likelihood for images: pass ``likelihood="bernoulli"`` or ``"logistic"``.

    The processes of a torch.distributed group may call fit with the same X. Each then trains on its
    share of every batch, the codes of all are exemplars for each, and all end with one model.

    Guides are in the README and, for many rows, in docs/scaling.md.

    Parameters
    ----------
    n_components : int or None, default=None
        Columns of a code. None takes ``n_features``; above 40 features it takes 40, or half the
        rows if that is less. Continuous data allows at most ``n_features``; fewer start training at
        principal components. If None gives fewer than ``n_features``, early stopping keeps them
        only if held-out rows score higher than under a kernel density estimate of all columns.
        Otherwise that estimate is the model, and ``n_components_`` is ``n_features`` (up to 2000
        columns, X in memory).
    architecture : {"mlp", "hierarchical", "conv"}, default="mlp"
        The networks. "mlp" has gated dense layers. "hierarchical" has a second level of codes,
        p(x | z_1, z_2) p(z_1 | z_2), with as many columns; the prior stands on z_2, which
        `transform` returns. "conv" has two such levels over gated convolutions, for images. Only
        "mlp" starts at a density estimate, and not with the "vamp" prior.
    prior : {"exemplar", "vamp", "gaussian"}, default="exemplar"
        The prior over codes. "exemplar" is the mixture above. Two are for comparison: "vamp", a
        mixture of q(z | u) over `n_pseudo_inputs` learned rows u [2]_, and "gaussian", the N(0, I)
        of the plain VAE. These ignore `bandwidth`, `rtol`, `n_exemplars`, `n_neighbors` and
        `leave_one_out`.
    likelihood : {"auto", "gaussian", "bernoulli", "logistic"}, default="auto"
        The distribution p(x | z) of a row. "gaussian" is for continuous columns, with a learned
        variance each. "bernoulli" is for columns in [0, 1]: values strictly between are
        probabilities of a one, drawn anew at every visit in training (exemplars are the rows as
        they are), and `score_samples` returns the negative cross-entropy. "logistic" is for gray
        levels, integers from 0 to 255: a logistic distribution cut into levels, whose scores are
        log-probabilities. "auto" takes bernoulli if X contains zeros and ones and nothing else,
        else gaussian.
    hidden_layer_sizes : int or sequence of int, default=(300, 300)
        Units of the encoder's layers, reversed in the decoder. "conv" uses them for the dense
        layers between the levels; in "hierarchical" a single size makes two layers where two inputs
        meet.
    image_shape : tuple of (channels, height, width) or None, default=None
        The shape of a row as an image; height and width must be divisible by 4. Only "conv" uses
        it, and needs it.
    n_pseudo_inputs : int, default=500
        Components of the "vamp" prior, at most one a training row; they start as training rows.
        Only "vamp" uses it.
    n_exemplars : int, "auto", "batch" or None, default="auto"
        Exemplars M that a row sees at a training step. "batch" takes the other rows of its
        minibatch, as fast as a plain VAE except for gray rows, which are encoded twice. A random
        minibatch doubles after 60 % and again after 85 % of the epochs, so that in the end the
        bandwidth is learned for more exemplars. An int draws that number without replacement, the
        minibatch among them. None takes all others. "auto" takes all up to 500 rows and "batch"
        beyond. Scores and samples always use all exemplars; the bandwidth is refitted for them.
    n_neighbors : int, "auto" or None, default="auto"
        How a row's exemplars come to be near it. An int, at most M, is retrieval augmented training
        [1]_: a row sees the k nearest of its M exemplars. They are found for all rows once an
        epoch, or once in several epochs while codes hardly move. Where the exemplars are the
        minibatch, only the last tenth of the epochs does so (none of fewer than ten), from half of
        the rows, and these epochs cost more. "auto" applies where the exemplars are the minibatch
        and there are more than 20 000 training rows: minibatches are random in the first 70 % of
        the epochs and made of neighborhoods of codes in the rest. A row then meets its nearest
        exemplars at little cost; exemplars outside the minibatch are dropped from a sum over all,
        so the objective stays a lower bound. None uses neither.
    retrieval : {"auto", "exact", "pynndescent"}, default="auto"
        How nearest codes are found, in training and in `kneighbors`: by matrix products ("exact"),
        or nearly all of them by pynndescent. "auto" takes what costs less in training; `kneighbors`
        is then exact. It may be changed after fit.
    leave_one_out : bool, default=True
        Whether a row, and every exact copy of it, is left out of its own prior in training. Without
        it a model can memorize.
    bandwidth : float or {"loo", "scott", "silverman"}, default="loo"
        Bandwidth that initializes training, in standard deviations of the columns. It is used with
        the "exemplar" prior on continuous data, with "mlp". "loo" takes the bandwidth, at least
        0.01, and shape of the highest left-out likelihood. A float of at least 0.002 or a rule of
        thumb starts at `KernelDensity`'s round kernel of that bandwidth.
    kl_warmup : float or "auto", default="auto"
        Epochs over which the weight of the Kullback-Leibler term rises from 0 to 1. "auto" is 0
        where training starts at a density estimate, else 3.
    n_importance_samples : int, default=32
        Importance samples S in `score_samples`. Scores are a lower bound in expectation; more
        samples tighten it. A model that is still the kernel density estimate of its start needs,
        and takes, only one. It may be changed after fit.
    n_bound_samples : int, default=1
        Samples K in a row's training bound, which above 1 is the importance-weighted bound [3]_, in
        the last 30 % of `max_iter` epochs; in none if training stops before, or of fewer than four
        epochs. These epochs take longer, and a step takes K times the decoder's memory. It is meant
        for the end of long trainings on images; before that, one sample teaches more in the same
        time.
    background : float or "auto", default="auto"
        Share of the density that a heavy-tailed background has. By the rule of succession a row
        unlike all N exemplars has probability about 1 / (N + 1), which is "auto"; N counts distinct
        rows, and grows with `extend_exemplars`. A row far from all others then has a low score and
        no absurd one, and does not pull the training. On continuous data it is a Student t
        distribution of one degree of freedom with the covariance of the rows, else independent
        columns with the frequencies of the rows. No sample is drawn from it. 0 is to be without.
    max_gaussians : int, default=32
        Most components of a Gaussian mixture that may stand beside the trained model. Sizes of
        powers of two are fitted to the rows trained on; the size and its share are those of the
        highest left-out likelihood, and without a gain there is none. `sample` draws from it in
        proportion; codes, neighbors and `sample_like` are those of the exemplars. 0 is to be
        without, as is a fit without held-out rows, and on zeros and ones or gray levels.
    rtol : float, default=0
        Relative tolerance of the densities of `score_samples`, in nats for their logarithms. 0 sums
        over all exemplars. With 0.01, for example, a row leaves out exemplars that are too far away
        to add more than that together, which saves time where codes lie in clusters. It pays from
        some hundred thousand exemplars on, and may be changed after fit.
    batch_size : int or "auto", default="auto"
        Rows of a step, at most M + 1 with an int `n_exemplars`. "auto" is 250; where training does
        not start at a density estimate it is at most a fiftieth of the rows, but at least 25.
    learning_rate_init : float, default=0.001
        Adam's initial step size; it falls along a cosine to almost zero at `max_iter`. Where
        training does not start at a density estimate, the networks' weights also decay at every
        step, by a tenth of that step size relative to themselves.
    max_iter : int, default=100
        Maximum number of epochs. 0 keeps the start, a kernel density estimate on continuous data.
    early_stopping : bool, default=True
        Whether left-out rows judge the training: it stops when their log-density no longer rises,
        and keeps the best weights. Up to 400 distinct rows of continuous data are divided into five
        folds: a model of each is trained on the others, the left-out rows of all choose the epoch,
        and the model of all rows is trained as long. With more rows, some are held out instead. All
        rows become exemplars afterwards. Fewer than 20 rows, or few distinct rows of many copies
        each, leave nothing to judge by; a start at a density estimate is then kept as it is.
    validation_fraction : float, default=0.1
        Share of the rows held out, where folds do not judge, at least 10 rows and at most 2000
        (1000 of 50 000 rows, 500 of more than 100 000). Copies of a row stay together and count as
        one.
    n_iter_no_change : int, default=10
        Epochs without improvement before stopping.
    tol : float, default=1e-3
        Improvement of the held-out log-density that counts, in nats a row. A density estimate, the
        start or that of all columns, is given up only for a gain of more than two standard errors.
    warm_start : bool, default=False
        Whether a second call of fit trains on from the weights and scaling of the first. With the
        same rows it holds out the same of them, and no folds judge, if it is True both times. With
        other rows it may hold out some that the first trained on, and then stops later than it
        should. The first model is given up only for a gain of more than two standard errors, and
        ``kl_warmup="auto"`` is 0.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the network's matrix products in training. "auto" takes bfloat16 with a
        bernoulli likelihood on processors that gain by it.
    device : str, default="auto"
        Where to compute: "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:1".
    verbose : bool or int, default=False
        Whether to print a line an epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds everything random in fit, and the noise of scores.

    Attributes
    ----------
    bandwidth_ : float
        Bandwidth s, in the units of codes. Only with the exemplar prior.
    n_exemplars_ : int
        Exemplars kept: rows of positive weight.
    n_components_ : int
        Columns of a code.
    likelihood_ : str
        The likelihood used: "gaussian", "bernoulli" or "logistic".
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if it had string names.
    background_weight_ : float
        Share of the background.
    gaussian_mixture_weight_ : float
        Share of the Gaussian mixture of what the background leaves; 0 if there is none.
    n_iter_ : int
        Epochs trained.
    loss_curve_ : list of float
        Negative mean training bound of every epoch, nats a row in the units of X. During a warm-up
        the Kullback-Leibler term has its reduced weight.
    validation_scores_ : list of float or None
        Mean held-out log-density after every epoch, preceded by that of the start if it is a
        density estimate. None without early stopping, or if no rows could be held out.
    best_validation_score_ : float or None
        Mean held-out log-density of the weights kept, without the Gaussian mixture.
    device_ : str
        Where the model is.

    See Also
    --------
    ExemplarFlow : Exact densities of tables of numbers.
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
        "bandwidth": [
            Interval(Real, MIN_SPLIT_BANDWIDTH, None, closed="left"),
            StrOptions({"loo", "scott", "silverman"}),
        ],
        "architecture": [StrOptions(set(NETWORKS))],
        "prior": [StrOptions(set(VAE_PRIORS))],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS})],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like", None],
        "n_pseudo_inputs": [Interval(Integral, 1, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
        "n_bound_samples": [Interval(Integral, 1, None, closed="left")],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    }
    _scoring_params = ("n_importance_samples", "rtol")

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
        background="auto",
        max_gaussians=32,
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
        self.background = background
        self.max_gaussians = max_gaussians
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

    def _read_columns(self, X):
        self.likelihood_ = self.likelihood
        if self.likelihood == "auto":
            self.likelihood_ = "bernoulli" if holds_only_zeros_and_ones(X) else "gaussian"
        if self._is_continuous():
            names = getattr(self, "feature_names_in_", None)
            warn_of_degenerate_columns(X, np.ones(X.shape[1], dtype=bool), names)

    def _read_resolution(self, X, groups):
        if self._is_continuous():
            return super()._read_resolution(X, groups)
        return no_noise(X.shape[1])

    def _check_domain(self, X, is_scored=False):
        if self.likelihood_ == "bernoulli":
            check_unit_interval(X)
        elif self.likelihood_ == "logistic":
            check_gray_levels(X)

    def _is_continuous(self):
        return self.likelihood_ == "gaussian"

    def _starts_from_density(self):
        is_linear = self.architecture == "mlp" and self.prior != "vamp"
        return is_linear and self._is_continuous()

    def _initialize(self, rows, generator):
        """Return the untrained model, and the density estimate to keep unless training beats it.

        On continuous data the model is a kernel density estimate, along principal components where
        codes have fewer columns than X. That can be worse than an estimate along all columns, also
        after training. So unless `n_components` is given, the latter is the baseline where rows are
        held out to judge by. Its codes are as large as X: not for rows that stay in a file.
        """
        n_features, has_kernel = rows.X.shape[1], self._starts_from_density()
        n_components = choose_n_components(self.n_components, *rows.X.shape, has_kernel)
        sample = self._initialization_rows(rows, generator) if has_kernel else None
        pseudo_inputs = self._draw_pseudo_inputs(rows, generator) if self.prior == "vamp" else None
        row_mean = self._scaling.transform(column_means(rows.X, rows.weights)[None])[0]
        is_binary = self.likelihood_ == "bernoulli" and holds_only_zeros_and_ones(rows.X)

        def untrained(n_components: int) -> ExemplarModel:
            kernel = None
            if has_kernel and self.prior == "exemplar":
                kernel = initialize_kernel(sample, n_components, self.bandwidth, generator)
            elif has_kernel:
                kernel = initialize_principal_components(sample, n_components, generator)
            initial = ModelInitialization(
                torch.from_numpy(row_mean).float(), is_binary, kernel, pseudo_inputs
            )
            structure = self._model_structure(n_components, n_features)
            return build_model(structure, initial, generator).to(self.device_)

        model = untrained(n_components)
        if not has_kernel:
            return Initialization(model, baseline=None)
        # Unjudged an estimate of all columns could have next to no density off the rows' own span.
        is_judged = rows.split is not None and not rows.in_file
        if self.n_components is None and self.prior == "exemplar" and is_judged:
            if n_components < n_features <= MAX_BASELINE_COMPONENTS:
                return Initialization(model, baseline=untrained(n_features))
        return Initialization(model, baseline=model)

    def _fitted_scaling(self, rows: FitRows) -> Unscaled:
        if self.likelihood_ == "logistic":
            return GrayLevels()
        if self.likelihood_ == "bernoulli":
            return Unscaled()
        return Standardized.fitted(rows.X, rows.weights)

    def _fit_background(self, X, weights):
        if self.likelihood_ == "bernoulli":
            return fit_binary_frequencies(X, weights)
        if self.likelihood_ == "logistic":
            return fit_level_frequencies(X, weights)
        return super()._fit_background(X, weights)

    def _draw_pseudo_inputs(self, rows: FitRows, generator) -> torch.Tensor:
        """Return rows that are not held out: those are to judge a prior that does not know them."""
        shares = torch.from_numpy(rows.trained_weights / rows.weights.max())
        n_drawn = min(self.n_pseudo_inputs, int((shares > 0).sum()))
        drawn = draw_without_replacement(shares, n_drawn, generator).sort().values
        return self._to_model(rows.X[drawn.numpy()]).float().cpu()

    def _prepare_warm_start(self, X):
        if self.likelihood_ == "bernoulli":
            self._model.likelihood.binary = holds_only_zeros_and_ones(X)

    def _schedule(self, n_rows, initial):
        has_exemplars = initial.model.prior.needs_exemplars
        plan = plan_exemplars(
            n_rows,
            # For one process: together they take as many steps as one alone.
            choose_batch_size(
                self.batch_size, n_rows // current_workers().size, self._starts_from_density()
            ),
            self.n_exemplars if has_exemplars else "batch",
            self.n_neighbors if has_exemplars else None,
            self.retrieval,
        )
        kl_warmup = self.kl_warmup
        if kl_warmup == "auto":
            kl_warmup = DEFAULT_KL_WARMUP if initial.baseline is None else 0
        return Schedule(
            n_epochs=self.max_iter,
            learning_rate=self.learning_rate_init,
            leave_one_out=self.leave_one_out,
            variational=VariationalSchedule(kl_warmup, self.n_bound_samples),
            autocast=choose_autocast(self.precision, self.likelihood_, torch.device(self.device_)),
            weight_decay=0.0 if self._starts_from_density() else WEIGHT_DECAY,
            **plan._asdict(),
        )

    def _model_structure(self, n_components: int, n_features: int) -> ModelStructure:
        return ModelStructure(
            n_components=n_components,
            architecture=self.architecture,
            prior=self.prior,
            likelihood=self.likelihood_ if self.likelihood == "auto" else self.likelihood,
            hidden_layer_sizes=check_layer_sizes(self.hidden_layer_sizes),
            image_shape=check_image_shape(self.image_shape, self.architecture, n_features),
        )

    def _structure(self, n_features):
        n_components = self.n_components
        if n_components is None:
            n_components = getattr(self, "n_components_", None)  # before fit nobody asks for it
        structure = self._model_structure(n_components, n_features)._asdict()
        structure["n_pseudo_inputs"] = self.n_pseudo_inputs if self.prior == "vamp" else None
        return structure

    def _importance_sampling(self):
        return ImportanceSampling(self.n_importance_samples, self._score_seed)
