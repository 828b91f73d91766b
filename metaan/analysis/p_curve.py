"""p-curve: what the distribution of significant p-values says of the effects behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import bdtr, bdtrc, ndtr, ndtri

from metaan.analysis.nulls import check_null, inherited, significance_level, tested
from metaan.core.inference import log_pvalue
from metaan.core.many import BoolArray
from metaan.core.p_curve import critical, deviates, shift_of, stouffer, stouffer_shift, tail
from metaan.errors import DataError, InputError, Note
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import FloatArray, Frozen, Option, check_level, forbid, labels, numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PCurveResult", "p_curve"]

SIDE: Final = Option(
    "alternative",
    {
        "two-sided": "every significant study", "greater": "significant studies with an effect above 0",
        "less": "significant studies with an effect below 0",
    },
    "two-sided",
)  # fmt: skip
_LOW: Final = 1 / 3  # power against which flatness is tested
_BINS: Final = 5
_FEW: Final = 10
_SKEW: Final = "right skew"
_FLAT: Final = "flatter than 33% power"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PCurveResult(Frozen):
    """Result of `metaan.p_curve`.

    Parameters
    ----------
    k, significant, half : int
        Studies, those in the curve (p < alpha) and those in its half (p < alpha/2).
    skew, skew_pvalue, skew_half, skew_half_pvalue : float
        Stouffer's z of the test of right skew, negative for a right skew, and its one-sided p-value: full and half
        curve. NaN where a curve has no study.
    skew_binomial_pvalue : float
        The same by the number of studies in the half curve.
    flat, flat_pvalue, flat_half, flat_half_pvalue, flat_binomial_pvalue : float
        Tests that the curve is flatter than that of studies with a power of 1/3, negative if flatter.
    power, power_low, power_high : float
        Power of the studies in the curve before they were selected, and its interval.
    evidential : bool
        Whether the curve is right-skewed: the half curve at 0.05, or both curves at 0.10.
    inadequate : bool
        Whether it is flatter than at a power of 1/3: the full curve at 0.05, or half curve and binomial test at 0.10.
    z : array of shape (k,)
        Tests of the studies.
    pvalues : array of shape (k,)
        Two-sided.
    study : tuple of str
    alpha, level : float
    alternative, measure : str
    notes : tuple of Note
    """

    k: int
    significant: int
    half: int
    skew: float
    skew_pvalue: float
    skew_half: float
    skew_half_pvalue: float
    skew_binomial_pvalue: float
    flat: float
    flat_pvalue: float
    flat_half: float
    flat_half_pvalue: float
    flat_binomial_pvalue: float
    power: float
    power_low: float
    power_high: float
    evidential: bool
    inadequate: bool
    z: FloatArray
    pvalues: FloatArray
    study: tuple[str, ...]
    alpha: float
    level: float
    alternative: str
    measure: str
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    @property
    def _inside(self) -> BoolArray:
        return _in_curve(self.z, critical(self.alpha), self.alternative)

    def to_frame(self) -> pd.DataFrame:
        """One row for each of the six tests: test, curve (full, half, binomial), k, statistic and pvalue."""
        import pandas as pd

        rows = [
            (_SKEW, "full", self.significant, self.skew, self.skew_pvalue),
            (_SKEW, "half", self.half, self.skew_half, self.skew_half_pvalue),
            (_SKEW, "binomial", self.significant, math.nan, self.skew_binomial_pvalue),
            (_FLAT, "full", self.significant, self.flat, self.flat_pvalue),
            (_FLAT, "half", self.half, self.flat_half, self.flat_half_pvalue),
            (_FLAT, "binomial", self.significant, math.nan, self.flat_binomial_pvalue),
        ]
        frame = pd.DataFrame(rows, columns=["test", "curve", "k", "statistic", "pvalue"])
        frame.attrs["notes"] = self.notes
        return frame

    def curve(self) -> pd.DataFrame:
        """The p-curve, for a plot.

        Returns
        -------
        pandas.DataFrame
            Five rows, intervals of the p-value between 0 and alpha: p_from, p_to, studies, and of the significant
            studies share, share_null (no effect), share_low (power of 1/3) and share_fitted (estimated power).
        """
        import pandas as pd

        ends = self.alpha * np.arange(_BINS + 1) / _BINS
        counts = np.histogram(self.pvalues[self._inside], np.append(ends[:-1], np.inf))[0]
        shifts = [shift_of(power, critical(self.alpha)) for power in (self.alpha, _LOW, self.power)]
        shares = [np.diff(_below(ends, shift)) for shift in shifts]
        columns = dict(zip(("share_null", "share_low", "share_fitted"), shares, strict=True))
        made = {"p_from": ends[:-1], "p_to": ends[1:], "studies": counts, "share": counts / self.significant}
        frame = pd.DataFrame(made | columns)
        frame.attrs["notes"] = self.notes
        return frame

    def studies(self) -> pd.DataFrame:
        """One row for each study: study, z, pvalue and in_curve."""
        import pandas as pd

        columns = {"study": list(self.study), "z": self.z, "pvalue": self.pvalues, "in_curve": self._inside}
        frame = pd.DataFrame(columns)
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers, lists and text: fit for JSON (NaN and infinity become None)."""
        every = {name: value for name, value in self.__dict__.items() if name not in ("study", "notes")}
        return plain(every) | {"study": list(self.study), "notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        percent = f"{100 * self.level:g}%"
        lines = [
            f"p-curve of {plural(self.significant, 'significant study')} out of {self.k} (Simonsohn et al. 2014, 2015)",
            f"Measure: {self.measure} ({KINDS[self.measure].label}); p < {self.alpha:g}, "
            f"{SIDE.choices[self.alternative]}",
            "Stouffer's method; half curve: "
            f"{plural(self.half, 'study')} with p < {self.alpha / 2:g}; one-sided p-values",
            "",
            f"Right skew  z = {number(self.skew)}, p {probability(self.skew_pvalue)}; half curve z = "
            f"{number(self.skew_half)}, p {probability(self.skew_half_pvalue)}; binomial p "
            f"{probability(self.skew_binomial_pvalue)}",
            f"Flatness    (33% power) z = {number(self.flat)}, p {probability(self.flat_pvalue)}; half curve z = "
            f"{number(self.flat_half)}, p {probability(self.flat_half_pvalue)}; binomial p "
            f"{probability(self.flat_binomial_pvalue)}",
            f"Power       {100 * self.power:.1f}%, {percent} CI {100 * self.power_low:.1f}% to "
            f"{100 * self.power_high:.1f}%",
            f"Says        {self._verdict()}",
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _verdict(self) -> str:
        skewed = "right-skewed: not all effects are 0" if self.evidential else "not clearly right-skewed"
        return f"{skewed}; {'' if self.inadequate else 'not '}flatter than with a power of 33%"

    def __repr__(self) -> str:
        return f"<PCurveResult: {self.significant} of {self.k} studies, power {self.power:.3g}>"


def p_curve(
    res: PoolResult | Effects | None = None, *, z: Any = None, pvalues: Any = None, study: Any = None,
    alpha: float = 0.05, alternative: str = "two-sided", level: float = 0.90,
) -> PCurveResult:  # fmt: skip
    """Test whether significant p-values are right-skewed, as true effects make them (Simonsohn et al. 2014, 2015).

    Parameters
    ----------
    res : PoolResult, GlmmResult, StratifiedResult or Effects, optional
        Of a measure of which 0 is no effect. Studies test by z = yi/sqrt(vi).
    z : array of shape (k,), optional
        Normal test statistics in place of `res`.
    pvalues : array of shape (k,), optional
        Two-sided p-values in (0, 1] in place of `res`.
    study : sequence of k labels, optional
        Of `z` or `pvalues`; 1 ... k by default.
    alpha : float, default 0.05
        Two-sided level below which studies count as significant.
    alternative : {"two-sided", "greater", "less"}
        Which significant studies are in the curve.
    level : float, default 0.90
        Level of the interval of the power.

    Returns
    -------
    PCurveResult

    Raises
    ------
    InputError
        None or several of `res`, `z` and `pvalues`, or another type.
    OptionError
        Rates of one arm, another model, an unknown option.
    DataError
        No significant study; a p-value outside (0, 1].

    Notes
    -----
    If no study has an effect, p/alpha of the significant ones is uniform. Its normal deviates, summed over the root of
    their number, test for right skew. With a common shift of the tests at which ``P(|Z| > z_alpha)`` is 1/3, the
    probability of a smaller ``|Z|`` among the significant ones is uniform instead, and tests for flatness. The half
    curve does the same with p < alpha/2, which a search for some p-value below alpha hardly reaches. The power is that
    at which the deviates sum to 0, its limits those at which they sum to the normal quantiles; it is not less than
    alpha.

    The rules of `evidential` and `inadequate` are those of Simonsohn et al. 2015. Deviates are computed on the log
    scale: none is cut off where p underflows.

    Studies test by the normal distribution, also where authors used t or exact tests. The curve says nothing of
    studies that are not significant, takes the studies as independent, and can overestimate their mean power where it
    differs between them.

    References
    ----------
    Simonsohn U, Nelson LD, Simmons JP (2014). J Exp Psychol Gen 143:534-547. doi:10.1037/a0033242
    Simonsohn U, Simmons JP, Nelson LD (2015). J Exp Psychol Gen 144:1146-1152. doi:10.1037/xge0000104

    Examples
    --------
    >>> from metaan import p_curve
    >>> made = p_curve(pvalues=[0.001, 0.003, 0.012, 0.02, 0.04, 0.3])
    >>> made.significant, round(made.skew, 3), round(made.skew_pvalue, 3), round(made.power, 2)
    (5, -1.667, 0.048, 0.38)
    """
    tests, p, names, measure, notes = _given(res, z, pvalues, study, SIDE.check(alternative))
    alpha, level = significance_level(alpha, "alpha"), check_level(level)
    cut, half_cut = critical(alpha), critical(alpha / 2)
    inside = tests[_in_curve(tests, cut, alternative)]
    x = np.abs(inside)
    if not x.size:
        every = "significant" if alternative == "two-sided" else f"significant and {alternative}"
        raise DataError(
            f"p_curve looks at significant studies alone, and none of {len(names)} is {every} at {alpha:g}."
        )
    low = shift_of(_LOW, cut)
    half = x[x > half_cut]
    share = float(tail(half_cut, low) / tail(cut, low))
    skew, skew_half = _stouffer(x, 0.0, cut, -1), _stouffer(half, 0.0, half_cut, -1)
    flat, flat_half = _stouffer(x, low, cut, 1), _stouffer(half, low, half_cut, 1)
    skew_binomial = float(bdtrc(half.size - 1, x.size, 0.5)) if half.size else 1.0
    flat_binomial = float(bdtr(half.size, x.size, share))
    edge = float(ndtri((1 + level) / 2))
    shifts = stouffer_shift(x, cut, np.array([0.0, edge, -edge]))
    power, power_low, power_high = (max(alpha, float(share)) for share in tail(cut, shifts))
    return PCurveResult(
        k=tests.size, significant=x.size, half=half.size, skew=skew[0], skew_pvalue=skew[1], skew_half=skew_half[0],
        skew_half_pvalue=skew_half[1], skew_binomial_pvalue=skew_binomial,
        flat=flat[0], flat_pvalue=flat[1], flat_half=flat_half[0], flat_half_pvalue=flat_half[1],
        flat_binomial_pvalue=flat_binomial, power=power, power_low=power_low, power_high=power_high,
        evidential=skew_half[1] < 0.05 or max(skew_half[1], skew[1]) < 0.1,
        inadequate=flat[1] < 0.05 or max(flat_half[1], flat_binomial) < 0.1,
        z=tests, pvalues=p, study=names, alpha=alpha, level=level, alternative=alternative, measure=measure,
        notes=(*_notes(inside, power, alpha), *notes),
    )  # fmt: skip


def _given(
    res: Any, z: Any, pvalues: Any, study: Any, alternative: str
) -> tuple[FloatArray, FloatArray, tuple[str, ...], str, tuple[Note, ...]]:
    """Tests, p-values, labels, measure and inherited notes of what was given."""
    if sum(value is not None for value in (res, z, pvalues)) != 1:
        raise InputError("p_curve takes a result, effects, z= or pvalues=: one of them.")
    if res is not None:
        if study is not None:
            raise InputError("study= labels z or pvalues; a result and effects have labels of their own.")
        eff = res if isinstance(res, Effects) else tested(res, "p_curve").effects
        check_null(eff.measure, "p_curve")
        tests = eff.yi / np.sqrt(eff.vi)
        return tests, _two_sided(tests), eff.study, eff.measure, inherited(eff)
    given = numbers(z, "z") if pvalues is None else numbers(pvalues, "pvalues")
    names = labels(study, given.size)
    if not given.size:
        raise InputError("No studies: z or pvalues is empty.")
    if pvalues is None:
        forbid(~np.isfinite(given), names, "z is missing or infinite")
        return given, _two_sided(given), names, "GEN", ()
    forbid(~((given > 0) & (given <= 1)), names, "pvalues must lie in (0, 1]; where p underflows give z", [given])
    if alternative != "two-sided":
        raise InputError(f"alternative={alternative!r} needs the sign of the effects: give z or a result, not pvalues.")
    return np.asarray(-ndtri(given / 2)), given, names, "GEN", ()


def _two_sided(z: FloatArray) -> FloatArray:
    return np.exp(log_pvalue(z, np.inf))


def _in_curve(z: FloatArray, cut: float, alternative: str) -> BoolArray:
    sign = {"two-sided": np.abs(z), "greater": z, "less": -z}
    return np.asarray(sign[alternative] > cut)


def _stouffer(x: FloatArray, shift: float, cut: float, sign: int) -> tuple[float, float]:
    """Stouffer's z, times the sign, and its lower tail; NaN of an empty curve."""
    if not x.size:
        return math.nan, math.nan
    z = sign * float(stouffer(deviates(x, shift, cut)))
    return z, float(ndtr(z))


def _below(ends: FloatArray, shift: float) -> FloatArray:
    """P(p < each end) among significant studies, the last end being alpha."""
    shares = np.array([float(tail(critical(float(end)), shift)) for end in ends])
    return np.asarray(shares / shares[-1])


def _notes(inside: FloatArray, power: float, alpha: float) -> tuple[Note, ...]:
    notes = []
    above, below = int((inside > 0).sum()), int((inside < 0).sum())
    if above and below:
        text = f"{above} of the significant effects lie above 0 and {below} below: the curve has both."
        notes.append(Note("both-directions", f"{text} alternative='greater' or 'less' takes those of one side."))
    if inside.size < _FEW:
        text = f"{plural(inside.size, 'significant study')}: the estimated power is vague with fewer than {_FEW}."
        notes.append(Note("few-significant", text))
    if math.isclose(power, alpha, rel_tol=1e-12):
        text = f"The curve is no steeper than without any effect: the power is put at alpha, {alpha:g}."
        notes.append(Note("power-at-alpha", text))
    return tuple(notes)
