"""Fail-safe N: how many studies without effect would undo a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from metaan.analysis.nulls import inherited, significance_level, tested
from metaan.errors import Note, OptionError, shown
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import Frozen, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FailsafeResult", "failsafe_n"]

KIND: Final = Option(
    "kind",
    {
        "rosenthal": "null results that raise Stouffer's combined p-value to alpha (Rosenthal 1979)",
        "orwin": "null results that lower the mean effect to a target (Orwin 1983)",
        "rosenberg": "null results that raise the p-value of the common effect to alpha (Rosenberg 2005)",
    },
    "rosenthal",
)
_FIELDS: Final = (
    "kind",
    "n",
    "exact",
    "tolerance",
    "estimate",
    "target",
    "statistic",
    "pvalue",
    "alpha",
    "k",
    "measure",
)
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FailsafeResult(Frozen):
    """Result of `metaan.failsafe_n`.

    Parameters
    ----------
    n : int
        Studies without effect, rounded up.
    exact : float
        The same before rounding.
    kind : {"rosenthal", "orwin", "rosenberg"}
    weighted : bool
        Whether Orwin's mean is that with weights 1/v.
    estimate : float
        Mean effect of the studies, analysis scale; NaN for Rosenthal, who has none.
    target : float
        Mean effect that is reached with the n studies (Orwin); NaN otherwise.
    statistic, pvalue : float
        Combined test: one-sided of Stouffer's z, in the direction of the effects (Rosenthal), or two-sided of the
        common effect (Rosenberg); NaN for Orwin.
    alpha : float
        p-value that is reached with the n studies; NaN for Orwin.
    k : int
    measure : str
    notes : tuple of Note
    """

    n: int
    exact: float
    kind: str
    weighted: bool
    estimate: float
    target: float
    statistic: float
    pvalue: float
    alpha: float
    k: int
    measure: str
    notes: tuple[Note, ...]

    @property
    def tolerance(self) -> int:
        """5 k + 10, below which Rosenthal called a result open to doubt."""
        return 5 * self.k + 10

    def to_frame(self) -> pd.DataFrame:
        """One row: n and the numbers behind it."""
        import pandas as pd

        frame = pd.DataFrame([{name: getattr(self, name) for name in _FIELDS}])
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN becomes None)."""
        made = {name: getattr(self, name) for name in (*_FIELDS, "weighted")}
        return plain(made) | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        lines = [
            f"Fail-safe N of {plural(self.k, 'study')}",
            f"Measure: {self.measure} ({KINDS[self.measure].label})",
            f"Method: {KIND.choices[self.kind]}",
            "",
        ]
        if self.kind == "orwin":
            mean = "weighted" if self.weighted else "unweighted"
            lines.append(f"Observed    {mean} mean effect {number(self.estimate)}")
            lines.append(f"N           {self.n} studies of effect 0 lower it to {number(self.target)}")
        else:
            sides = "one-sided" if self.kind == "rosenthal" else "two-sided"
            lines.append(f"Observed    z = {number(self.statistic)}, {sides} p {probability(self.pvalue)}")
            lines.append(f"N           {self.n} studies of effect 0 raise p to {self.alpha:g}")
        if self.kind == "rosenthal":
            side = "above" if self.n > self.tolerance else "not above"
            lines.append(f"Rule        {side} 5 k + 10 = {self.tolerance}")
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<FailsafeResult: {self.n} studies, {self.kind}>"


class _Found(NamedTuple):
    exact: float
    estimate: float = math.nan
    target: float = math.nan
    statistic: float = math.nan
    pvalue: float = math.nan


def failsafe_n(
    res: PoolResult,
    *,
    kind: str = "rosenthal",
    target: float | None = None,
    weighted: bool = False,
    alpha: float = 0.05,
) -> FailsafeResult:
    """How many studies without effect would make a result insignificant, or too small to matter.

    Parameters
    ----------
    res : PoolResult, GlmmResult or StratifiedResult
        From `metaan.pool`, `glmm` (two arms), `mantel_haenszel` or `peto`, of a measure of which 0 is no effect. The
        effects and variances of its studies are read, not its model.
    kind : {"rosenthal", "orwin", "rosenberg"}
    target : float, optional
        Mean effect, on the analysis scale (log ratios), that is too small to matter, for Orwin; its sign is made that
        of the observed mean. Half of the observed mean by default, which is arbitrary: n is then k.
    weighted : bool, default False
        Weigh effects by 1/v in Orwin's mean.
    alpha : float, default 0.05
        Level of significance of the two others: one-sided for Rosenthal, two-sided for Rosenberg.

    Returns
    -------
    FailsafeResult

    Raises
    ------
    InputError
        No result.
    OptionError
        A result of rates of one arm, whose 0 is no hypothesis (a logit of 0 is a rate of 50 %), or of another model; an
        option out of range, or one that is for another kind.

    Notes
    -----
    With z_i = y_i/sqrt(v_i), q(p) the upper normal quantile of p, w = 1/v, and 0 where the result is below

    - Rosenthal: k [(sum z/sqrt(k))^2/q(alpha)^2 - 1]
    - Orwin: k (m - target)/target, m the mean
    - Rosenberg: k [(sum w y)^2/q(alpha/2)^2 - sum w]/sum w

    rounded up. All three take the missing studies to average no effect at all, ignore heterogeneity and, Rosenthal,
    the size of effects; Becker 2005 advises against the method. It is here to reproduce publications; a selection model
    or `limit_meta_analysis` answers the question behind it.

    References
    ----------
    Rosenthal R (1979). Psychol Bull 86:638-641. doi:10.1037/0033-2909.86.3.638
    Orwin RG (1983). J Educ Stat 8:157-159. doi:10.3102/10769986008002157
    Rosenberg MS (2005). Evolution 59:464-468. doi:10.1111/j.0014-3820.2005.tb01004.x
    Becker BJ (2005). Failsafe N or file-drawer number. In: Publication Bias in Meta-Analysis, 111-125. Wiley.

    Examples
    --------
    >>> from metaan import effects, failsafe_n, pool
    >>> res = pool(effects([0.5, 0.3, 0.4, 0.6], [0.04, 0.02, 0.05, 0.06], measure="SMD"))
    >>> failsafe_n(res).n, failsafe_n(res, kind="orwin", target=0.1).n, failsafe_n(res, kind="rosenberg").n
    (26, 14, 16)
    """
    res = tested(res, "failsafe_n")
    KIND.check(kind)
    level = significance_level(alpha, "alpha")
    if kind != "orwin" and (target is not None or weighted):
        raise OptionError(f"target= and weighted= are for kind='orwin', not for {kind!r}.")
    eff = res.effects
    if kind == "orwin":
        found, own = _orwin(eff, target, bool(weighted))
        level = math.nan
    else:
        found, own = _KINDS[kind](eff, level), ()
    exact = max(found.exact, 0.0)
    return FailsafeResult(
        **found._replace(exact=exact)._asdict(), n=math.ceil(exact - _ROUNDING * (1 + exact)), kind=kind,
        weighted=bool(weighted), alpha=level, k=eff.k, measure=eff.measure, notes=(*own, _CAUTION, *inherited(eff)),
    )  # fmt: skip


def _rosenthal(eff: Effects, alpha: float) -> _Found:
    z = abs(float((eff.yi / np.sqrt(eff.vi)).sum())) / math.sqrt(eff.k)
    return _Found(eff.k * ((z / float(ndtri(alpha))) ** 2 - 1), statistic=z, pvalue=float(ndtr(-z)))


def _rosenberg(eff: Effects, alpha: float) -> _Found:
    total, moment = float((1 / eff.vi).sum()), float((eff.yi / eff.vi).sum())
    z = moment / math.sqrt(total)
    n = eff.k * ((z / float(ndtri(alpha / 2))) ** 2 - 1)
    return _Found(n, estimate=moment / total, statistic=z, pvalue=2 * float(ndtr(-abs(z))))


_KINDS: Final[Mapping[str, Callable[[Effects, float], _Found]]] = {"rosenthal": _rosenthal, "rosenberg": _rosenberg}


def _orwin(eff: Effects, target: float | None, weighted: bool) -> tuple[_Found, tuple[Note, ...]]:
    mean = float(np.average(eff.yi, weights=1 / eff.vi if weighted else None))
    if target is None:
        half = Note("target", "Target: half of the observed mean, which is arbitrary; give target=.")
        return _Found(float(eff.k) if mean else 0.0, mean, mean / 2), (half,)
    if isinstance(target, bool) or not isinstance(target, (int, float, np.floating, np.integer)) or not target:
        raise OptionError(f"target={shown(target)} must be a mean effect other than 0, on the analysis scale.")
    aim = math.copysign(float(target), mean)
    if not math.isfinite(aim):
        raise OptionError(f"target={shown(target)} must be finite.")
    turned = Note("target-sign", f"The sign of the target was made that of the observed mean: {aim:g}.")
    return _Found(eff.k * (mean / aim - 1), mean, aim), (turned,) if aim != target else ()


_CAUTION: Final = Note(
    "failsafe",
    "Takes missing studies to average no effect and ignores heterogeneity: a large N does not rule bias out.",
)
