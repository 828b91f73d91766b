"""The result of a Bayesian meta-analysis: posterior summaries, probabilities, shrinkage, prediction."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.marginals import Marginal
from metaan.core.posterior import NormalPosterior, Posterior
from metaan.core.posterior_binomial import BinomialPosterior
from metaan.core.posterior_mean import mean_quantiles
from metaan.core.roots import bracketed_root
from metaan.errors import InputError, Note, OptionError, shown
from metaan.measures.backtransform import Scale, bounded, display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.bayes_text import describe
from metaan.models.plain import plain, plain_value
from metaan.models.rates import RateEstimate
from metaan.models.results import Spec
from metaan.validate import FloatArray, Frozen, Option, numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BayesResult"]

SCALE: Final = Option("scale", {"analysis": "as it was fitted", "display": "rates, ratios or correlations"}, "display")
WHAT: Final = ("mu", "tau", "new")
_SUMMARY: Final = ("mode", "median", "mean", "sd", "ci_low", "ci_high")
_PARAMETERS: Final = ("mu", "tau", "theta_new")
_STUDY: Final = ("median", "mean", "sd", "ci_low", "ci_high")
_COLUMNS: Final = (
    "estimate", "ci_low", "ci_high", "tau", "tau_low", "tau_high", "pi_low", "pi_high", "k",
    "bayes_factor_tau0", "log_bayes_factor_tau0", "log_marginal",
)  # fmt: skip
_POINTS: Final = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
_FARTHEST: Final = 1e6


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BayesResult(Frozen):
    """Result of `metaan.bayes`.

    Numbers stand on the analysis scale; `back` gives the same record on the display scale.

    Parameters
    ----------
    estimate, ci_low, ci_high : float
        Posterior median of the mean effect mu and its credible limits.
    tau, tau_low, tau_high : float
        Posterior median of the between-study standard deviation and its credible limits, analysis scale.
    pi_low, pi_high : float
        Limits of the posterior predictive distribution of the true effect of a new study.
    k : int
        Studies.
    bayes_factor_tau0, log_bayes_factor_tau0 : float
        Marginal likelihood of tau = 0 over that of the random-effects model; NaN under an improper prior of tau.
    log_marginal : float
        Log marginal likelihood of the random-effects model; NaN unless both priors are proper.
    tau_prior, mu_prior : str
        The priors.
    values : array of shape (3, 6)
        What `summary` shows.
    theta : array of shape (5, k)
        True effects of the studies: posterior median, mean, standard deviation and credible limits.
    grid : Posterior
        The joint posterior of mu and tau on nodes, arrays mu, tau, weight of shape (m,): sums over them are posterior
        means of smooth functions.
    posterior : NormalPosterior or BinomialPosterior
        The marginals behind `density`, `cdf` and `quantile`.
    spec : Spec
    effects : Effects
    notes : tuple of Note
        Every automatic decision, those of `effects` first.
    scale : {"analysis", "display"}
    """

    estimate: float
    ci_low: float
    ci_high: float
    tau: float
    tau_low: float
    tau_high: float
    pi_low: float
    pi_high: float
    k: int
    bayes_factor_tau0: float
    log_bayes_factor_tau0: float
    log_marginal: float
    tau_prior: str
    mu_prior: str
    values: FloatArray
    theta: FloatArray
    grid: Posterior
    posterior: NormalPosterior | BinomialPosterior
    spec: Spec
    effects: Effects
    notes: tuple[Note, ...]
    scale: str = "analysis"

    def __post_init__(self) -> None:
        for name in ("values", "theta"):
            object.__setattr__(self, name, np.array(getattr(self, name)))
        self._freeze()

    def _freeze(self) -> None:
        for array in (self.values, self.theta, *self.grid):
            array.setflags(write=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._freeze()

    def _marginal(self, what: str) -> tuple[Marginal, int]:
        """A marginal posterior and its column there."""
        if what in WHAT:
            return {"mu": self.posterior.mu, "tau": self.posterior.tau.curve, "new": self.posterior.new}[what], 0
        if list(self.effects.study).count(what) == 1:
            return self.posterior.theta, self.effects.study.index(what)
        raise OptionError(
            f"what={shown(what)} is not known. Choose one of {', '.join(WHAT)}, or the label of one study."
        )

    def density(self, x: Any, what: str = "mu") -> FloatArray:
        """Posterior density, analysis scale.

        Parameters
        ----------
        x : float or array of shape (m,)
        what : {"mu", "tau", "new"} or label of a study
            The mean effect, the between-study standard deviation, the true effect of a new study or of a study.

        Returns
        -------
        array of shape (m,)

        Raises
        ------
        OptionError
            An unknown `what`.
        """
        of, i = self._marginal(what)
        return np.asarray(of.density(_column(x))[:, i])

    def cdf(self, x: Any, what: str = "mu") -> FloatArray:
        """Posterior probability of a value up to x, analysis scale; see `density`."""
        of, i = self._marginal(what)
        return np.asarray(of.cdf(_column(x))[:, i])

    def quantile(self, p: Any, what: str = "mu") -> FloatArray:
        """Posterior quantiles of the probabilities p in [0, 1], analysis scale; see `density`."""
        probability = numbers(p, "p")
        if not ((probability >= 0) & (probability <= 1)).all():
            raise InputError("p must be probabilities from 0 to 1.")
        of, i = self._marginal(what)
        return np.asarray(of.quantile(probability)[:, i])

    def prob(
        self, *, above: float | None = None, below: float | None = None, what: str = "mu", scale: str = "display"
    ) -> float:
        """Posterior probability that an effect lies above or below a value, or between two.

        Parameters
        ----------
        above, below : float, optional
            At least one of them. With both, the probability of lying between.
        what : {"mu", "tau", "new"} or label of a study
            tau is always on the analysis scale.
        scale : {"display", "analysis"}
            Whether the values are rates, ratios or correlations, or on the analysis scale.

        Returns
        -------
        float

        Raises
        ------
        OptionError
            No value, or an unknown option.
        """
        SCALE.check(scale)
        if above is None and below is None:
            raise OptionError("Give above=, below= or both.")
        turn = scale == "display" and what != "tau"
        ends = []
        for value, default in ((above, -math.inf), (below, math.inf)):
            given = default if value is None else float(numbers([value], "above and below")[0])
            ends.append(_analysis(self.effects, given) if turn and value is not None else given)
        if ends[1] < ends[0]:
            raise OptionError(f"below={below} is less than above={above}.")
        low, high = (0.0 if e == -math.inf else 1.0 if e == math.inf else float(self.cdf(e, what)[0]) for e in ends)
        return high - low

    @property
    def median_rate(self) -> RateEstimate:
        """Rate of the median study: posterior median and credible interval.

        Raises
        ------
        OptionError
            A measure that is no rate.
        """
        shown = self._rates().back()
        method = f"{self.spec.ci} credible interval"
        return RateEstimate(
            estimate=shown.estimate, ci_low=shown.ci_low, ci_high=shown.ci_high,
            level=self.spec.level, kind="median", method=method,
        )  # fmt: skip

    @cached_property
    def mean_rate(self) -> RateEstimate:
        """Mean of the true rates over the population of studies: posterior median and central credible interval.

        The mean is M(mu, tau) = E g(mu + tau z) with g the back-transformation and z standard normal; it increases
        with mu, so that P(M < c) is a mean over tau of P(mu < mu_c given tau), with M(mu_c, tau) = c.

        Raises
        ------
        OptionError
            A measure that is no rate.
        """
        self._rates()
        levels = np.array([0.5, (1 - self.spec.level) / 2, (1 + self.spec.level) / 2])
        estimate, low, high = mean_quantiles(self.posterior, display_scale(self.effects).inverse, levels)
        return RateEstimate(
            estimate=float(estimate), ci_low=float(low), ci_high=float(high),
            level=self.spec.level, kind="mean", method="central credible interval",
        )  # fmt: skip

    def _rates(self) -> BayesResult:
        if KINDS[self.spec.measure].scale != "rate":
            raise OptionError(f"measure={self.spec.measure!r} is no rate.")
        return self

    def back(self, *, n: float | str | None = None) -> BayesResult:
        """Return the same record on the display scale: rates, ratios, correlations.

        Parameters
        ----------
        n : float or {"harmonic", "mean", "min", "max"}, optional
            Sample size of the Freeman-Tukey inverse. Only for PFT and IRFT.

        Returns
        -------
        BayesResult
            Medians and limits as rates or ratios, which back-transformation leaves what they are (the ends of a
            shortest interval keep their probability but are not the shortest there). Modes, means and standard
            deviations are not so: they are NaN; see `mean_rate`. tau stays on the analysis scale.

        Raises
        ------
        OptionError
            `n` given for a measure that takes none, or not positive.
        """
        if self.scale == "display":
            return self
        if n is None and not KINDS[self.spec.measure].transformed and not bounded(self.spec.measure):
            return dataclasses.replace(self, scale="display")
        scale: Scale = display_scale(self.effects, n=n)
        point: dict[str, Any] = {name: scale.inverse_point(getattr(self, name)) for name in _POINTS}
        values, theta = np.array(self.values), np.array(self.theta)
        for row in (0, 2):
            values[row] = [math.nan, scale.inverse_point(values[row, 1]), math.nan, math.nan,
                           scale.inverse_point(values[row, 4]), scale.inverse_point(values[row, 5])]  # fmt: skip
        theta[1:3] = math.nan
        for row in (0, 3, 4):
            theta[row] = scale.inverse(theta[row])
        notes = self.notes + scale.notes + scale.cut(getattr(self, name) for name in _POINTS)
        return dataclasses.replace(self, **point, values=values, theta=theta, scale="display", notes=notes)

    def summary(self) -> pd.DataFrame:
        """Posterior of mu, tau and the effect in a new study: mode, median, mean, sd and credible limits.

        Returns
        -------
        pandas.DataFrame
            Index mu, tau, theta_new.
        """
        import pandas as pd

        return pd.DataFrame(self.values, index=list(_PARAMETERS), columns=list(_SUMMARY))

    def to_frame(self) -> pd.DataFrame:
        """One row: the mean effect, tau and the prediction, with their limits, and the Bayes factor."""
        import pandas as pd

        return pd.DataFrame([{name: getattr(self, name) for name in _COLUMNS}])

    def studies(self) -> pd.DataFrame:
        """One row for each study: label, counts, yi, vi, and the posterior of its true effect (shrinkage).

        Returns
        -------
        pandas.DataFrame
            Columns study, events, total, rate (counts only), yi, vi, median, mean, sd, ci_low, ci_high.
        """
        import pandas as pd

        eff = self.effects
        columns: dict[str, Any] = {"study": list(eff.study)}
        if eff.events is not None and eff.total is not None:
            columns |= {"events": eff.events, "total": eff.total, "rate": eff.events / eff.total}
        turn = display_scale(eff).inverse if self.scale == "display" else np.asarray
        columns |= {"yi": turn(eff.yi), "vi": eff.vi}
        return pd.DataFrame(columns | dict(zip(_STUDY, self.theta, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        flat: dict[str, Any] = plain(dataclasses.asdict(self.spec))
        flat |= plain({name: getattr(self, name) for name in _COLUMNS})
        flat["parameter"] = list(_PARAMETERS)
        flat |= {name: plain_value(self.values[:, i]) for i, name in enumerate(_SUMMARY[:4])}
        flat |= {f"theta_{name}": plain_value(row) for name, row in zip(_STUDY, self.theta, strict=True)}
        eff = self.effects
        return flat | {
            "tau_prior": self.tau_prior, "mu_prior": self.mu_prior, "study": list(eff.study),
            "yi": plain_value(eff.yi), "vi": plain_value(eff.vi),
            "scale": self.scale, "notes": [str(note) for note in self.notes],
        }  # fmt: skip

    def __str__(self) -> str:
        return describe(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.spec.measure} of {self.k} studies, median {self.estimate:.4g}>"


def _column(x: Any) -> FloatArray:
    """Places as rows."""
    return np.asarray(numbers(x, "x")[:, None])


def _analysis(eff: Effects, value: float) -> float:
    """Value on the analysis scale, infinite beyond the range of the display scale."""
    if not KINDS[eff.measure].transformed and not bounded(eff.measure):
        return value
    scale = display_scale(eff)
    a, b = np.array([max(scale.lowest, -_FARTHEST)]), np.array([min(scale.highest, _FARTHEST)])

    def excess(y: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            return np.asarray(np.minimum(scale.inverse(y), 1e300) - value)

    low, high = excess(a), excess(b)
    if low[0] >= 0:
        return -math.inf if low[0] > 0 or math.isinf(scale.lowest) else float(a[0])
    return math.inf if high[0] <= 0 else float(bracketed_root(excess, a, b, low, high)[0])
