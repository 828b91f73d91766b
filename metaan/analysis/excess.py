"""Test of excess significance: are more studies significant than their power lets expect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.analysis.nulls import inherited, significance_level, tested
from metaan.analysis.test_result import TestResult
from metaan.core.excess import TESTS, power, significant
from metaan.errors import Note, OptionError, shown
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.validate import FloatArray, Frozen, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ExcessResult", "excess_significance"]

ALTERNATIVE: Final = Option(
    "alternative",
    {
        "two-sided": "studies test for any effect", "greater": "studies test for an effect above the null",
        "less": "studies test for an effect below the null",
    },
    "two-sided",
)  # fmt: skip
TEST: Final = Option(
    "test",
    {
        "exact": "distribution of the number of significant studies at their own powers (Francis 2013)",
        "binomial": "binomial distribution with the mean power",
        "chi2": "Pearson's chi2 with 1 df (Ioannidis & Trikalinos 2007)",
    },
    "exact",
)
DIRECTION: Final = Option(
    "direction",
    {
        "greater": "more significant studies than expected", "less": "fewer than expected",
        "two-sided": "more or fewer than expected",
    },
    "greater",
)  # fmt: skip
_LIMITS: Final = {
    "greater": [("theta_lim", "greater", 1)],
    "less": [("theta_lim", "less", 1)],
    "two-sided": [("theta_lim", "greater", 2), ("theta_lim_far", "less", 2)],
}
"""Limit estimates: the p-value that is looked at, and the share of its level."""
_SYMBOL: Final = {"exact": "O", "binomial": "O", "chi2": "chi2"}
_DOUBLINGS: Final = 200  # of the smallest standard error, within which a limit estimate is sought
_FEW: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ExcessResult(TestResult, Frozen):
    """Result of `metaan.excess_significance`.

    As `TestResult`, whose `statistic` is the number of significant studies (test "chi2": Pearson's chi2) and whose
    `values` are O, E, ratio (O/E), theta, tau2, H0 (null), alpha, limit_alpha, theta_lim and, two-sided,
    theta_lim_far; and:

    Parameters
    ----------
    power : array of shape (k,)
        Of each study's own test, at theta.
    significant : array of bool, shape (k,)
    study : tuple of str
    """

    __test__ = False

    power: FloatArray
    significant: npt.NDArray[np.bool_]
    study: tuple[str, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    def studies(self) -> pd.DataFrame:
        """One row for each study: study, power and significant."""
        import pandas as pd

        frame = pd.DataFrame({"study": list(self.study), "power": self.power, "significant": self.significant})
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers, lists and text: fit for JSON (NaN and infinity become None)."""
        more = {"power": self.power, "significant": self.significant}
        return super().to_dict() | {"study": list(self.study)} | plain(more)

    def __repr__(self) -> str:
        return f"<ExcessResult: O = {self.values['O']:g}, E = {self.values['E']:.4g}, p = {self.pvalue:.4g}>"


def excess_significance(
    res: PoolResult, *, alternative: str = "two-sided", alpha: float = 0.05, test: str = "exact",
    direction: str = "greater", theta: float | None = None, null: float = 0.0, limit_alpha: float = 0.10,
) -> ExcessResult:  # fmt: skip
    """Test whether more studies are significant than their power lets expect (Ioannidis & Trikalinos 2007).

    Parameters
    ----------
    res : PoolResult, GlmmResult or StratifiedResult
        From `metaan.pool`, `glmm` (two arms), `mantel_haenszel` or `peto`, of a measure of which 0 is no effect. Its
        estimate and tau2 give the power of the studies.
    alternative : {"two-sided", "greater", "less"}
        Of the studies' own tests.
    alpha : float, default 0.05
        Level of the studies' own tests.
    test : {"exact", "binomial", "chi2"}
    direction : {"greater", "less", "two-sided"}
        Whether more significant studies than expected count as evidence, fewer, or both.
    theta : float, optional
        True effect on the analysis scale, such as the estimate of the largest study; by default that of `res`.
    null : float, default 0
        Effect that the studies test, analysis scale.
    limit_alpha : float, default 0.10
        p-value of the limit estimate.

    Returns
    -------
    ExcessResult
        A `TestResult` with a table `studies` of the power of each study.

    Raises
    ------
    InputError
        No result.
    OptionError
        A result of rates of one arm, whose studies do not test that effect, or of another model; an unknown option.

    Notes
    -----
    A study is significant by its normal test, z = (y - null)/sqrt(v). Its power is that of the same test for an effect
    N(theta, v + tau2); E is the sum of the powers and O the number of significant studies. chi2 is
    (O - E)^2/E + (O - E)^2/(k - E).

    `theta_lim` is the effect at which the p-value is `limit_alpha`: the true effect must be farther from the null to
    make O credible. It is sought from the null in the direction of theta (`alternative` if one-sided), tau2 held. NaN
    where no such effect exists. Direction "two-sided" has one with too many significant studies and, theta_lim_far, one
    with too few, each by its one-sided p-value at half of `limit_alpha`.

    An estimate inflated by selection makes E too large and the test conservative. Heterogeneity that the model does not
    have makes O differ from E without any bias, and a large p-value proves nothing where E is small.

    References
    ----------
    Ioannidis JPA, Trikalinos TA (2007). Clin Trials 4:245-253. doi:10.1177/1740774507079441
    Francis G (2013). J Math Psychol 57:153-169. doi:10.1016/j.jmp.2013.02.003

    Examples
    --------
    >>> from metaan import effects, excess_significance, pool
    >>> res = pool(effects([0.5, 0.6, 0.7, 0.65, 0.1], [0.06, 0.07, 0.09, 0.08, 0.005], measure="SMD"), method="CE")
    >>> made = excess_significance(res)
    >>> made.values["O"], round(made.values["E"], 2), round(made.pvalue, 4)
    (4.0, 1.31, 0.0052)
    """
    res = tested(res, "excess_significance")
    ALTERNATIVE.check(alternative), TEST.check(test), DIRECTION.check(direction)
    level, limit = significance_level(alpha, "alpha"), significance_level(limit_alpha, "limit_alpha")
    null, at = _finite(null, "null"), res.estimate if theta is None else _finite(theta, "theta")
    if not math.isfinite(at):
        raise OptionError("excess_significance needs a finite effect: the result has none. Give theta=.")
    eff, tau2 = res.effects, 0.0 if res.spec.model == "stratified" else res.tau2
    seen = significant((eff.yi - null) / np.sqrt(eff.vi), level, alternative)
    observed = int(seen.sum())

    def powers(shift: float) -> FloatArray:
        return power(np.array([shift]), eff.vi, tau2, level, alternative)

    def pvalue_at(which: str, distance: float) -> float:
        return TESTS[test](observed, powers(sign * distance), which)

    own = powers(at - null)
    expected = float(own.sum())
    sign = -1.0 if alternative == "less" or (alternative == "two-sided" and at < null) else 1.0
    limits = {
        name: null + sign * _limit(partial(pvalue_at, one), limit / share, math.sqrt(float(eff.vi.min())))
        for name, one, share in _LIMITS[direction]
    }
    values = {
        "O": float(observed), "E": expected, "ratio": observed / expected if expected else math.nan, "theta": at,
        "tau2": tau2, "H0": null, "alpha": level, "limit_alpha": limit,
        **limits,
    }  # fmt: skip
    spread = expected * (eff.k - expected) / eff.k
    chi2 = (observed - expected) ** 2 / spread if spread > 0 else math.nan
    return ExcessResult(
        test="Test of excess significance (Ioannidis & Trikalinos 2007)",
        null="as many significant studies as their power lets expect", symbol=_SYMBOL[test],
        statistic=chi2 if test == "chi2" else float(observed), df=1.0 if test == "chi2" else math.nan,
        pvalue=TESTS[test](observed, own, direction), k=eff.k, measure=eff.measure,
        model=f"Studies {alternative} at {level:g}; {TEST.choices[test]}; {DIRECTION.choices[direction]}",
        values=values, notes=(*_notes(expected, tau2, limits["theta_lim"], direction), *inherited(eff)),
        power=own, significant=seen, study=eff.study,
    )  # fmt: skip


def _finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise OptionError(f"{name}={shown(value)} must be a number on the analysis scale.")
    if not math.isfinite(value):
        raise OptionError(f"{name}={shown(value)} must be finite.")
    return float(value)


def _limit(pvalue: Callable[[float], float], limit: float, unit: float) -> float:
    """Distance from the null at which a p-value that rises, or falls, crosses the limit; NaN if it does not."""
    from scipy.optimize import brentq

    below = pvalue(0.0) <= limit
    steps = (unit * 2.0**i for i in range(_DOUBLINGS))
    beyond = next((x for x in steps if (pvalue(x) <= limit) != below), math.nan)
    if math.isnan(beyond):
        return math.nan
    return float(brentq(lambda x: pvalue(x) - limit, 0.0, beyond, xtol=1e-13 * unit, rtol=1e-13))


def _notes(expected: float, tau2: float, limit: float, direction: str) -> tuple[Note, ...]:
    notes = []
    if expected < _FEW:
        text = f"{expected:.2g} significant studies are expected: with so few the test has little power."
        notes.append(Note("low-power", text))
    if tau2 > 0:
        text = "The studies' effects vary (tau2 > 0): an excess may be heterogeneity of another form, not selection."
        notes.append(Note("heterogeneity", text))
    if math.isnan(limit):
        why = "even without an effect there is no excess" if direction != "less" else "no effect leaves too few"
        notes.append(Note("no-limit", f"No limit estimate: {why}."))
    text = "Exploratory: an excess does not say why (selection, flexible analysis, fraud), nor in which studies."
    return (*notes, Note("exploratory", text))
