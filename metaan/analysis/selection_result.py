"""The result of a selection model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from metaan.core.inference import quantile
from metaan.core.selection import Rule, features, log_weights
from metaan.errors import Note
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain_value
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SelectionResult", "Steps"]

_WORDS: Final = {
    "step": "step function", "beta": "beta weight function", "halfnorm": "half-normal weight function",
    "negexp": "negative-exponential weight function", "logistic": "logistic weight function",
    "power": "power weight function",
}  # fmt: skip
_FAVOURED: Final = {
    "greater": "one-sided p-values, large effects favoured",
    "less": "one-sided p-values, small effects favoured",
    "two-sided": "two-sided p-values",
}
_POINTS: Final = 401
_SHOWN: Final = 7


class Steps(NamedTuple):
    """Cut points of the p-value, the studies in the intervals between them, and what the weights mean."""

    ends: tuple[float, ...]
    """Without 0 and 1."""
    counts: tuple[int, ...]
    null: float
    """delta without selection."""
    known: bool
    """Whether the weights were given."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SelectionResult(Frozen):
    """Result of `metaan.selection_model`.

    Parameters
    ----------
    estimate, se, ci_low, ci_high, statistic, pvalue, log_pvalue : float, or array of shape (p,) with a formula
        Effect before selection on the analysis scale, its normal test of 0 and its interval.
    unadjusted : float, or array of shape (p,) with a formula
        The same by maximum likelihood without selection.
    names : tuple of str
        Coefficients.
    tau2, tau, se_tau2, tau2_unadjusted : float
        Between-study variance before selection, its standard error, and its estimate without selection.
    delta, delta_se, delta_low, delta_high : array of shape (D,)
        Parameters of the weight function. Step: weight of each interval after the first, relative to it.
    LRT, LRT_df, LRT_pvalue : float
        Likelihood-ratio test of no selection; NaN for known weights.
    LRT_tau2, LRT_tau2_pvalue : float
        Test of tau2 = 0.
    loglik, loglik_null, aic : float
        Log-likelihood at the maximum, and without selection. Known weights are no parameters of `aic`.
    parameters : int
    cov : array of shape (p + 1 + D, p + 1 + D)
        Covariance of the coefficients, tau2 and delta; NaN for what is known or at a bound.
    k : int
    kind, alternative, prec, method, ci, formula : str
        As asked for.
    steps : Steps
    null : float
        Effect that the p-values test.
    pvalues : array of shape (k,)
        Of the studies.
    level : float
    measure : str
    effects : Effects
    converged : bool
    notes : tuple of Note
    """

    estimate: float | FloatArray
    se: float | FloatArray
    ci_low: float | FloatArray
    ci_high: float | FloatArray
    statistic: float | FloatArray
    pvalue: float | FloatArray
    log_pvalue: float | FloatArray
    unadjusted: float | FloatArray
    names: tuple[str, ...]
    tau2: float
    tau: float
    se_tau2: float
    tau2_unadjusted: float
    delta: FloatArray
    delta_se: FloatArray
    delta_low: FloatArray
    delta_high: FloatArray
    LRT: float
    LRT_df: int
    LRT_pvalue: float
    LRT_tau2: float
    LRT_tau2_pvalue: float
    loglik: float
    loglik_null: float
    aic: float
    parameters: int
    cov: FloatArray
    k: int
    kind: str
    steps: Steps
    alternative: str
    prec: str | None
    null: float
    pvalues: FloatArray
    formula: str | None
    method: str
    ci: str
    level: float
    measure: str
    effects: Effects
    converged: bool
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    def to_frame(self) -> pd.DataFrame:
        """One row for each coefficient: its term, estimate, interval and test, and the unadjusted estimate."""
        import pandas as pd

        names = ("estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "log_pvalue", "unadjusted")
        frame = pd.DataFrame({"term": list(self.names)} | {n: np.atleast_1d(getattr(self, n)) for n in names})
        frame.attrs["notes"] = [str(note) for note in self.notes]
        return frame

    def weights_frame(self) -> pd.DataFrame:
        """Parameters of the weight function, one row each: delta, its standard error and limits.

        Step functions have a row for each interval, p_from and p_to its ends, studies its number of studies, and 1 in
        the first.
        """
        import pandas as pd

        made = {"delta": self.delta, "se": self.delta_se, "ci_low": self.delta_low, "ci_high": self.delta_high}
        if self.kind != "step":
            return pd.DataFrame({"term": self._delta_names()} | made)
        ends = np.concatenate([[0.0], self.steps.ends, [1.0]])
        first = {"delta": 1.0, "se": math.nan, "ci_low": math.nan, "ci_high": math.nan}
        columns = {name: np.append(first[name], values) for name, values in made.items()}
        return pd.DataFrame({"p_from": ends[:-1], "p_to": ends[1:], "studies": list(self.steps.counts)} | columns)

    def weight_function(self) -> pd.DataFrame:
        """The fitted weight function, for a plot.

        Returns
        -------
        pandas.DataFrame
            Columns p, chance (relative weight) and, by the delta method on the log scale, its limits low and high. With
            `prec` it is that of the least precise study.
        """
        import pandas as pd

        rule = Rule(self.kind, 1, np.array(self.steps.ends))
        inner = np.linspace(0.0, 1.0, _POINTS)
        jump = np.array(self.steps.ends)
        p = np.sort(np.concatenate([inner, jump, np.nextafter(jump, 1)]))
        with np.errstate(invalid="ignore"):
            log_w, slope, _ = log_weights(self.kind, features(p, rule), self.delta[None])
        rows = [len(self.names) + 1 + i for i in range(self.delta.size)]
        cov = np.nan_to_num(self.cov[np.ix_(rows, rows)])
        gradient = np.broadcast_to(slope, (self.delta.size, 1, p.size))[:, 0]
        half = float(quantile(np.inf, self.level)) * np.sqrt(np.einsum("ap,ab,bp->p", gradient, cov, gradient))
        return pd.DataFrame(
            {"p": p, "chance": np.exp(log_w[0]), "low": np.exp(log_w[0] - half), "high": np.exp(log_w[0] + half)}
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        flat: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if value is None or isinstance(value, (np.ndarray, int, float, str)):
                flat[name] = plain_value(value)
        return flat | {
            "names": list(self.names), "steps": list(self.steps.ends), "counts": list(self.steps.counts),
            "study": list(self.effects.study), "notes": [str(note) for note in self.notes],
        }  # fmt: skip

    def _delta_names(self) -> list[str]:
        return [f"delta{i + 1}" for i in range(self.delta.size)] if self.delta.size > 1 else ["delta"]

    def __str__(self) -> str:
        assumed = "Common-effect" if self.method == "CE" else "Random-effects"
        scaled = "" if self.prec is None else f", delta times {self.prec} over its largest"
        moderated = "" if self.formula is None else f": {self.formula}"
        against = "" if self.null == 0 else f", null {number(self.null)}"
        interval = "profile likelihood" if self.ci == "profile" else "normal distribution"
        lines = [
            f"{assumed} selection model of {plural(self.k, 'study')}{moderated}",
            f"Measure: {self.measure} ({KINDS[self.measure].label})",
            f"Weights: {_WORDS[self.kind]} of {_FAVOURED[self.alternative]}{against}{scaled}",
            f"Maximum likelihood; interval: {interval}",
            "",
            *self._estimates(),
            *self._spread(),
            *self._weights(),
            *self._test(),
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _estimates(self) -> list[str]:
        percent = f"{100 * self.level:g}%"
        width = 10 if self.formula is None else max(10, *map(len, self.names))
        columns = ("estimate", "ci_low", "ci_high", "se", "statistic", "pvalue", "unadjusted")
        rows = np.column_stack([np.atleast_1d(getattr(self, name)) for name in columns]).tolist()
        shown = self.names if self.formula else ("Estimate",)
        lines = [
            f"{name:<{width}}  {number(estimate)}, {percent} CI {number(low)} to {number(high)} (SE {number(se)}, "
            f"z = {number(z, 3)}, p {probability(p)}); without selection {number(plain)}"
            for name, (estimate, low, high, se, z, p, plain) in zip(shown, rows, strict=True)
        ]
        if len(lines) > _SHOWN:
            return [*lines[:_SHOWN], f"... and {len(lines) - _SHOWN} more coefficients: to_frame() has them all"]
        return lines

    def _spread(self) -> list[str]:
        if self.method == "CE":
            return []
        test = f"test of tau2 = 0: LR {number(self.LRT_tau2)}, p {probability(self.LRT_tau2_pvalue)} (boundary mixture)"
        return [f"Spread      tau2 {number(self.tau2)} (without selection {number(self.tau2_unadjusted)}); {test}"]

    def _weights(self) -> list[str]:
        if self.kind != "step":
            parts = [
                f"{name} {number(d)} (SE {number(se)})"
                for name, d, se in zip(self._delta_names(), self.delta, self.delta_se, strict=True)
            ]
            return [f"Selection   {', '.join(parts)}"]
        ends = [0.0, *self.steps.ends, 1.0]
        first = f"p 0 to {ends[1]:g}: 1 (k {self.steps.counts[0]})"
        parts = [
            f"{low:g} to {high:g}: {number(d, 3)} (k {k}{'' if math.isnan(se) else f', SE {number(se, 3)}'})"
            for low, high, k, d, se in zip(
                ends[1:], ends[2:], self.steps.counts[1:], self.delta, self.delta_se, strict=False
            )
        ]
        if len(parts) > _SHOWN:
            parts = [*parts[:_SHOWN], f"{len(parts) - _SHOWN} more: weights_frame() has them all"]
        return [f"Selection   {'; '.join([first, *parts])}"]

    def _test(self) -> list[str]:
        fit = f"log L {self.loglik:.3f}, AIC {self.aic:.2f}"
        if math.isnan(self.LRT):
            return [f"Likelihood  {fit}; weights known, no test"]
        p = f"p {probability(self.LRT_pvalue)}"
        mixture = "" if self.kind in ("step", "beta") else " (boundary mixture)"
        return [f"Likelihood  {fit}; test of no selection: LR {number(self.LRT)}, {self.LRT_df} df, {p}{mixture}"]

    def __repr__(self) -> str:
        return f"<SelectionResult: {self.kind}, {self.measure} of {self.k} studies>"
