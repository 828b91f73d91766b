"""Limit meta-analysis: what the effects tend to as every study grows without bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import chdtrc

from metaan.analysis.adjusted import (
    cautions,
    extrapolated,
    interval_text,
    measure_line,
    pooled,
    spread_of,
    up_to_largest,
)
from metaan.analysis.bias_regression import How, line
from metaan.core.coefficients import covariance
from metaan.core.linear import Design
from metaan.errors import Note
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.models.wald import coefficient_fields
from metaan.validate import FloatArray, Frozen, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LimitMetaResult", "limit_meta_analysis"]

LIMIT_TEST: Final = Option(
    "test",
    {
        "z": "normal distribution (Rucker et al. 2011)",
        "t": "t distribution with k - 2 degrees of freedom, usual standard error",
        "hk": "t with k - 2 degrees of freedom, variance times the mean square error",
    },
    "z",
)
_EXACT: Final = 1e-24
_NUMBERS: Final = (
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "df", "alpha", "alpha_se", "alpha_pvalue", "beta",
    "tau2", "G2", "Q", "Q_df", "Q_pvalue", "Q_small", "Q_small_pvalue", "Q_resid", "Q_resid_df",
    "Q_resid_pvalue", "k",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LimitMetaResult(Frozen):
    """Result of `metaan.limit_meta_analysis`, analysis scale.

    Parameters
    ----------
    estimate, se, ci_low, ci_high, statistic, pvalue, df : float
        beta0 = beta + tau alpha, the expected effect of a study without sampling error.
    alpha, alpha_se, alpha_pvalue : float
        Shift of the standardised effect by small-study effects, and the test that there is none.
    beta : float
        Slope on the generalised radial plot.
    tau2 : float
        That of the result.
    G2 : float
        Per cent of the variance of the limit meta-analysis that its radial regression leaves unexplained.
    Q, Q_df, Q_pvalue, Q_small, Q_small_pvalue, Q_resid, Q_resid_df, Q_resid_pvalue : float
        Heterogeneity, split into small-study effects (1 degree of freedom) and what remains.
    limits : array of shape (k,)
        Effects of the studies in the limit: shrunken, and without small-study effects.
    test : {"z", "t", "hk"}
    k : int
    original : PoolResult
    notes : tuple of Note
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    statistic: float
    pvalue: float
    df: float
    alpha: float
    alpha_se: float
    alpha_pvalue: float
    beta: float
    tau2: float
    G2: float
    Q: float
    Q_df: int
    Q_pvalue: float
    Q_small: float
    Q_small_pvalue: float
    Q_resid: float
    Q_resid_df: int
    Q_resid_pvalue: float
    limits: FloatArray
    test: str
    k: int
    original: PoolResult
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    def to_frame(self) -> pd.DataFrame:
        """One row of numbers, analysis scale."""
        import pandas as pd

        frame = pd.DataFrame([{name: getattr(self, name) for name in _NUMBERS}])
        frame.attrs["notes"] = self.notes
        return frame

    def studies(self) -> pd.DataFrame:
        """One row for each study: label, yi, vi and limit_effect, what its effect tends to."""
        import pandas as pd

        eff = self.original.effects
        frame = pd.DataFrame({"study": list(eff.study), "yi": eff.yi, "vi": eff.vi, "limit_effect": self.limits})
        frame.attrs["notes"] = self.notes
        return frame

    def curve(self, points: int = 101) -> pd.DataFrame:
        """Expected effects over standard errors from 0 to the largest, to draw in a funnel: se and fitted."""
        import pandas as pd

        se = up_to_largest(self.original, points)
        return pd.DataFrame({"se": se, "fitted": self.beta + self.alpha * np.sqrt(se**2 + self.tau2)})

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        made = {name: getattr(self, name) for name in _NUMBERS} | {"test": self.test}
        return plain(made | {"limits": self.limits}) | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        res = self.original
        lines = [
            f"Limit meta-analysis of {plural(self.k, 'study')} (Rucker et al. 2011)",
            measure_line(res),
            f"tau2: {res.spec.method}, taken as known; interval: test={self.test} ({LIMIT_TEST.choices[self.test]})",
            "",
            f"Pooled      {interval_text(res, (res.estimate, res.ci_low, res.ci_high))}",
            f"Limit       {interval_text(res, (self.estimate, self.ci_low, self.ci_high))}",
            f"Asymmetry   alpha {number(self.alpha)} (SE {number(self.alpha_se)}), p {probability(self.alpha_pvalue)}",
            f"Spread      Q = {self.Q:.2f}, df = {self.Q_df}, p {probability(self.Q_pvalue)}: small-study effects "
            f"{self.Q_small:.2f}, df = 1, p {probability(self.Q_small_pvalue)}; the rest {self.Q_resid:.2f}, "
            f"df = {self.Q_resid_df}, p {probability(self.Q_resid_pvalue)}",
            f"            G2 {self.G2:.1f}%, tau2 {number(self.tau2)}",
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<LimitMetaResult: {self.k} studies, estimate {self.original.estimate:.4g} -> {self.estimate:.4g}>"


def limit_meta_analysis(res: PoolResult, *, test: str = "z") -> LimitMetaResult:
    """Effect adjusted for small-study effects by a limit meta-analysis (Rucker et al. 2011).

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`, whose tau2 is used; at least three studies whose standard errors differ.
    test : {"z", "t", "hk"}
        Reference distribution of the interval: the paper's normal one, t with k - 2 degrees of freedom, or t with the
        variance multiplied by the mean square error.

    Returns
    -------
    LimitMetaResult

    Raises
    ------
    InputError
        No result of pool, or fewer than three studies.
    OptionError
        An unknown test, or a result of another model.
    DataError
        All standard errors are equal.

    Notes
    -----
    The model is y = beta + sqrt(v + tau2) (alpha + e) with standard normal e. alpha and beta are intercept and slope of
    the generalised radial plot, y/sqrt(v + tau2) on 1/sqrt(v + tau2); equivalently a regression of y on sqrt(v + tau2)
    with weights 1/(v + tau2), whose value at v = 0 is beta0 = beta + tau alpha: hence its standard error, tau2 taken
    as known. If every v is divided by the same number, however large, a study's effect tends to
    beta + tau/sqrt(v + tau2) (y - beta): these are the `limits`. G2 is the share of the variance of the limits over
    sqrt(v) that their regression on 1/sqrt(v) leaves unexplained. Q_resid is the residual sum of squares of the radial
    regression with tau2 = 0, and Q_small = Q - Q_resid. For tau2 = 0 the limit is the PET estimate.

    References
    ----------
    Rücker G, Schwarzer G, Carpenter JR, Binder H, Schumacher M (2011). Biostatistics 12:122-142.
    doi:10.1093/biostatistics/kxq046

    Examples
    --------
    >>> from metaan import effects, limit_meta_analysis, pool
    >>> y, v = [0.10, 0.32, 0.18, 0.20, 0.65, 0.60, 0.85], [0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15]
    >>> made = limit_meta_analysis(pool(effects(y, v), method="DL", test="z"))
    >>> round(made.original.estimate, 3), round(made.estimate, 3)
    (0.276, 0.081)
    """
    res = pooled(res, "limit_meta_analysis")
    LIMIT_TEST.check(test)
    eff, tau = res.effects, res.tau
    sei = spread_of(res, "limit_meta_analysis")
    total = np.sqrt(eff.vi + res.tau2)
    # coefficients: the value at v = 0, and alpha
    how = How(res.spec.method, test)
    fit, _, exact = line(Design(eff.yi, eff.vi, np.column_stack([np.ones(res.k), total - tau])), how, res.tau2)
    fields = coefficient_fields(fit.beta, covariance(fit, test), res.spec.level)
    at_zero = {name: float(fields[name][0]) for name in ("se", "ci_low", "ci_high", "statistic", "pvalue", "df")}
    estimate, alpha = (float(x) for x in fit.beta)
    beta = estimate - tau * alpha
    limits = beta + tau / total * (eff.yi - beta)
    rest = float(line(Design(eff.yi, eff.vi, np.column_stack([np.ones(res.k), sei])), how, 0.0).fit.Q)
    small = max(res.Q - rest, 0.0)
    return LimitMetaResult(
        estimate=estimate, **at_zero, alpha=alpha, alpha_se=float(fields["se"][1]),
        alpha_pvalue=float(fields["pvalue"][1]), beta=beta,
        tau2=res.tau2, G2=_unexplained(limits, sei), Q=res.Q, Q_df=res.Q_df,
        Q_pvalue=res.Q_pvalue, Q_small=small, Q_small_pvalue=float(chdtrc(1, small)), Q_resid=rest,
        Q_resid_df=res.k - 2, Q_resid_pvalue=float(chdtrc(res.k - 2, rest)), limits=limits, test=test, k=res.k,
        original=res, notes=cautions(res, _notes(res.tau2, sei, exact and test == "hk")),
    )  # fmt: skip


def _unexplained(limits: FloatArray, sei: FloatArray) -> float:
    """Share of the variance of limits/sei, in per cent, that a regression on 1/sei does not explain."""
    x, z = 1 / sei, limits / sei
    x, z = x - x.mean(), z - z.mean()
    left, total = float(((z - x @ z / (x @ x) * x) ** 2).sum()), float(z @ z)
    return 100 * left / total if left > _EXACT * float((limits**2 / sei**2).sum()) else 0.0


def _notes(tau2: float, sei: FloatArray, exact: bool) -> list[Note]:
    notes = extrapolated(sei)
    if exact:
        text = "The effects lie exactly on the line: the standard errors are 0 and not usable. Use test='z'."
        notes.insert(0, Note("exact-line", text))
    if tau2 == 0:
        text = "tau2 is 0: every study's limit is the same, and the estimate is that of PET"
        notes.insert(0, Note("tau2-zero", f"{text}, its standard error as `test` says."))
    return notes
