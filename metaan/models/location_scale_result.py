"""The result of a location-scale model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.coefficients import Covariance
from metaan.core.inference import quantile
from metaan.errors import Note, OptionError
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.design import Moderators, new_rows
from metaan.models.plain import spec_and_fields
from metaan.models.results import Convergence, Spec
from metaan.models.text import LINES, note_lines, number, plural, probability, reference
from metaan.validate import PI, FloatArray, Frozen, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LocationScaleResult"]

_SCALE: Final = Option(
    "scale", {"analysis": "as it was fitted", "display": "rates, ratios or correlations"}, "analysis"
)
_COLUMNS: Final = ("estimate", "se", "ci_low", "ci_high", "statistic", "df", "pvalue", "log_pvalue")
_KINDS: Final = ("t", "hts", "z", "simple", "none")
_ROOM: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LocationScaleResult(Frozen):
    """Result of `metaan.regress` with ``scale=``.

    Parameters
    ----------
    estimate, se, ci_low, ci_high, statistic, pvalue, log_pvalue, df : array of shape (p,)
        Coefficients of the effects (the location), analysis scale.
    names : tuple of str
    cov : array of shape (p, p)
    QM, QM_df, QM_df2, QM_pvalue : float
        Test of the moderators of the location.
    scale_estimate, scale_se, scale_ci_low, ... : array of shape (q,)
        Coefficients of log tau2 (the scale).
    scale_names : tuple of str
    scale_cov : array of shape (q, q)
    QS, QS_df, QS_df2, QS_pvalue : float
        Wald test of the moderators of the scale.
    LRT, LRT_df, LRT_pvalue : float
        Likelihood-ratio test of one tau2 for all studies; NaN where the scale has no moderator or no constant.
    QE, QE_df, QE_pvalue : float
        Residual heterogeneity.
    k : int
    tau2 : array of shape (k,)
        Between-study variance at the moderators of each study.
    tau2_common : float
        One for all studies.
    loglik, loglik_common : float
        (Restricted) log-likelihood, and that with one tau2.
    fitted, blup, weights : array of shape (k,)
        Expected and shrunken effects, weights in per cent.
    moderators, scale_moderators : Moderators
    inference : Covariance
    convergence : Convergence
    spec : Spec
    scale_formula : str
    effects : Effects
    notes : tuple of Note
    """

    estimate: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    statistic: FloatArray
    pvalue: FloatArray
    log_pvalue: FloatArray
    df: FloatArray
    names: tuple[str, ...]
    cov: FloatArray
    QM: float
    QM_df: int
    QM_df2: float
    QM_pvalue: float
    scale_estimate: FloatArray
    scale_se: FloatArray
    scale_ci_low: FloatArray
    scale_ci_high: FloatArray
    scale_statistic: FloatArray
    scale_pvalue: FloatArray
    scale_log_pvalue: FloatArray
    scale_df: FloatArray
    scale_names: tuple[str, ...]
    scale_cov: FloatArray
    QS: float
    QS_df: int
    QS_df2: float
    QS_pvalue: float
    LRT: float
    LRT_df: int
    LRT_pvalue: float
    QE: float
    QE_df: int
    QE_pvalue: float
    k: int
    tau2: FloatArray
    tau2_common: float
    loglik: float
    loglik_common: float
    fitted: FloatArray
    blup: FloatArray
    weights: FloatArray
    moderators: Moderators
    scale_moderators: Moderators
    inference: Covariance
    convergence: Convergence
    spec: Spec
    scale_formula: str
    effects: Effects
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()
        self.inference.inner.setflags(write=False)

    def predict(self, new: Any = None, *, pi: str | None = None, scale: str = "analysis") -> pd.DataFrame:
        """Expected effect and tau2 for new values of the moderators.

        Parameters
        ----------
        new : pandas.DataFrame, mapping or list of mappings, optional
            Rows with the columns of both formulas; the studies themselves by default.
        pi : {"t", "hts", "z", "simple", "none"}, optional
            Prediction interval; that of the fit by default.
        scale : {"analysis", "display"}
            "display" gives rates, ratios or correlations, and no standard error; tau2 stays as it is.

        Returns
        -------
        pandas.DataFrame
            Columns estimate, se, ci_low, ci_high, pi_low, pi_high, tau2, tau2_low, tau2_high (Wald, on the log scale);
            the index of `new`.

        Raises
        ------
        InputError
            A column is missing, or a category was not among the studies.
        OptionError
            Unknown or unavailable prediction interval or scale.
        """
        import pandas as pd

        _SCALE.check(scale)
        kind = PI.check(self.spec.pi if pi is None else pi)
        if kind not in _KINDS:
            raise OptionError(f"pi={kind!r} is not defined with scale=; choose one of {', '.join(_KINDS)}.")
        x = self.moderators.matrix if new is None else new_rows(self.moderators, new, self.spec.formula or "")
        z = self.scale_moderators.matrix if new is None else new_rows(self.scale_moderators, new, self.scale_formula)
        value, spread, log_tau2 = x @ self.estimate, self.inference.spread(x), z @ self.scale_estimate
        half = float(quantile(self.inference.df, self.spec.level)) * np.sqrt(spread)
        reach = self._reach(kind, x, np.exp(log_tau2))
        columns = {
            "estimate": value, "se": np.sqrt(spread), "ci_low": value - half, "ci_high": value + half,
            "pi_low": value - reach, "pi_high": value + reach,
        }  # fmt: skip
        notes: tuple[Note, ...] = ()
        if scale == "display":
            shown = display_scale(self.effects)
            columns = {name: shown.inverse(values) for name, values in columns.items()}
            columns["se"], notes = np.full(len(value), np.nan), shown.notes
        wide = float(quantile(self._scale_df, self.spec.level)) * np.sqrt(
            np.einsum("mi,ij,mj->m", z, self.scale_cov, z)
        )
        columns |= {
            "tau2": np.exp(log_tau2), "tau2_low": np.exp(log_tau2 - wide), "tau2_high": np.exp(log_tau2 + wide)
        }  # fmt: skip
        index = new.index if isinstance(new, pd.DataFrame) else list(self.effects.study) if new is None else None
        table = pd.DataFrame(columns, index=index)
        table.attrs["notes"] = [str(note) for note in notes]
        return table

    @property
    def _scale_df(self) -> float:
        return math.inf if self.spec.test == "z" else float(self.k - len(self.scale_names))

    def _reach(self, kind: str, x: FloatArray, tau2: FloatArray) -> FloatArray:
        """Half the width of the prediction interval of each row; NaN where there is none."""
        free = self.QE_df - (1 if kind == "hts" else 0)
        if kind == "none" or free <= 0:
            return np.full(x.shape[0], np.nan)
        root = x @ np.linalg.inv(self.inference.r)
        mean = 0.0 if kind == "simple" else (root**2).sum(axis=1)
        df = float(free) if kind in ("t", "hts") else math.inf
        return np.asarray(float(quantile(df, self.spec.level)) * np.sqrt(tau2 + mean))

    def to_frame(self) -> pd.DataFrame:
        """One row for each coefficient, those of the effects (part "location") before those of log tau2 ("scale")."""
        import pandas as pd

        parts = []
        for part, prefix, names in (("location", "", self.names), ("scale", "scale_", self.scale_names)):
            made = {name: getattr(self, prefix + name) for name in _COLUMNS}
            parts.append(pd.DataFrame({"part": [part] * len(names), "term": list(names)} | made))
        return pd.concat(parts, ignore_index=True)

    def studies(self) -> pd.DataFrame:
        """One row for each study: label, yi, vi, tau2, weight (%), fitted, residual, BLUP."""
        import pandas as pd

        eff = self.effects
        return pd.DataFrame(
            {
                "study": list(eff.study), "yi": eff.yi, "vi": eff.vi, "tau2": self.tau2, "weight": self.weights,
                "fitted": self.fitted, "residual": eff.yi - self.fitted, "blup": self.blup,
            }
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        return spec_and_fields(self) | {
            "names": list(self.names), "scale_names": list(self.scale_names), "study": list(self.effects.study),
            "converged": self.convergence.converged, "notes": [str(note) for note in self.notes],
        }  # fmt: skip

    def __str__(self) -> str:
        spec = self.spec
        test = reference(spec.test, moderators=True)
        low, high = float(self.tau2.min()), float(self.tau2.max())
        lines = [
            f"Location-scale model of {plural(self.k, 'study')}: {spec.formula}, log tau2 {self.scale_formula}",
            f"Measure: {spec.measure} ({KINDS[spec.measure].label})",
            f"Variance: {spec.method}; intervals: test={spec.test} ({test})",
            "Location",
            *self._lines("", self.names),
            "Scale (log tau2)",
            *self._lines("scale_", self.scale_names),
            f"Spread      tau2 {number(low)} to {number(high)} by study; one for all {number(self.tau2_common)}",
            *self._tests(),
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _lines(self, prefix: str, names: tuple[str, ...]) -> list[str]:
        width, percent = max(map(len, names)), f"{100 * self.spec.level:g}%"
        columns = ("estimate", "ci_low", "ci_high", "se", "pvalue")
        rows = np.column_stack([getattr(self, prefix + name) for name in columns]).tolist()
        lines = [
            f"  {name:<{width}}  {number(value)}, {percent} CI {number(low)} to {number(high)} (SE {number(se)}, "
            f"p {probability(p)})"
            for name, (value, low, high, se, p) in zip(names, rows, strict=True)
        ]
        if len(lines) <= _ROOM:
            return lines
        return [*lines[: _ROOM - 1], f"  ... and {len(lines) - _ROOM + 1} more: to_frame() has them all"]

    def _tests(self) -> list[str]:
        lines = []
        if not math.isnan(self.QM):
            df2 = "" if math.isinf(self.QM_df2) else f" and {self.QM_df2:.4g}"
            symbol = "QM" if math.isinf(self.QM_df2) else "F"
            lines.append(
                f"Moderators  {symbol} = {self.QM:.2f}, df = {self.QM_df}{df2}, p {probability(self.QM_pvalue)}"
            )
        if not math.isnan(self.LRT):
            lines.append(
                f"One tau2    LR {number(self.LRT)}, {self.LRT_df} df, p {probability(self.LRT_pvalue)} (log L "
                f"{self.loglik:.3f} against {self.loglik_common:.3f})"
            )
        return lines

    def __repr__(self) -> str:
        return (
            f"<LocationScaleResult: {self.spec.measure} of {self.k} studies on {self.spec.formula!r}, tau2 on "
            f"{self.scale_formula!r}>"
        )
