"""The LFK index: a number for the asymmetry of a Doi plot, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import ndtri

from metaan.analysis.bias_data import studied
from metaan.errors import DataError, Note, OptionError
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, number, plural
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LfkResult", "lfk_index"]

_FEW: Final = 5
_MINOR: Final = 1.0
_MAJOR: Final = 2.0
_UNIT: Final = 100.0  # size that the least precise study counts for
_EQUAL: Final = 1e-12
_NO_TEST: Final = Note(
    "no-test",
    "The LFK index is no test: beyond 1 it gave 0 % to almost 30 % false alarms, depending on the number and size of "
    "the studies and on heterogeneity (Schwarzer et al. 2024). For tests see small_study_effects.",
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LfkResult(Frozen):
    """Result of `metaan.lfk_index`.

    Parameters
    ----------
    index : float
        The LFK index; above 0 where the limb of the large effects is the longer one.
    says : {"no asymmetry", "minor asymmetry", "major asymmetry"}
        abs(index) up to 1, up to 2, beyond, in the words of the paper.
    tip : float
        Effect at the tip of the Doi plot: that of the study nearest to the weighted median, analysis scale.
    z : array of shape (k,)
        Normal quantiles of the weighted ranks, in the order of the studies.
    study : tuple of str
    yi : array of shape (k,)
        Effects, analysis scale.
    k : int
    measure : str
    notes : tuple of Note
        The first says what the index is not.
    """

    index: float
    says: str
    tip: float
    z: FloatArray
    study: tuple[str, ...]
    yi: FloatArray
    k: int
    measure: str
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    def studies(self) -> pd.DataFrame:
        """One row for each study: study, x (effect), y (absolute normal quantile) and z (the quantile)."""
        import pandas as pd

        frame = pd.DataFrame({"study": list(self.study), "x": self.yi, "y": np.abs(self.z), "z": self.z})
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON."""
        made = {name: getattr(self, name) for name in ("index", "says", "tip", "k", "measure")}
        return plain(made) | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        lines = [
            f"LFK index of {plural(self.k, 'study')}, measure {self.measure} (Furuya-Kanamori et al. 2018)",
            "",
            f"LFK index   {number(self.index)}: {self.says}",
            f"Tip         {number(self.tip)}",
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<LfkResult: {self.index:.4g} of {self.k} studies, {self.says}>"


def lfk_index(res: PoolResult) -> LfkResult:
    """Asymmetry of the Doi plot (Furuya-Kanamori, Barendregt & Doi 2018); no test.

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel` or `peto`, with at least three studies. Only
        their effects and variances are used, not the pooled effect.

    Returns
    -------
    LfkResult
        `index`, `says`, the `tip` and the normal quantiles `z` of the Doi plot.

    Raises
    ------
    InputError, OptionError
        Another result, or one with moderators.
    DataError
        Fewer than three studies; all effects are equal.

    Notes
    -----
    A study counts for N_i = 100 max(v)/v_i. With the studies in the order of their effects, its middle rank is the sum
    of the N before it and half its own (equal effects share theirs), z_i the normal quantile of
    (rank - 1/2)/sum(N), and d_i its effect less that of the study with the smallest abs(z). Then

        LFK = 5/(2k) sum[z_i + d_i (max z - min z)/(max d - min d)]

    Up to 1 either way the authors speak of no asymmetry, up to 2 of a minor one. Their Stata program rounds N to whole
    numbers, and ranks equal effects in the order in which they come.

    In the simulations of Schwarzer et al. the limit of 1 gave from 0 % to almost 30 % false alarms, depending on the
    number and size of the studies and on heterogeneity: the index is no test. `metaan.small_study_effects` runs those
    that fit a measure. The variance of a rate of one arm depends on the rate, which alone moves the index off 0.

    References
    ----------
    Furuya-Kanamori L, Barendregt JJ, Doi SAR (2018). Int J Evid Based Healthc 16:195-203.
    doi:10.1097/XEB.0000000000000141
    Schwarzer G, Rücker G, Semaca C (2024). LFK index does not reliably detect small-study effects in meta-analysis: a
    simulation study. Res Synth Methods 15:603-615. doi:10.1002/jrsm.1714

    Examples
    --------
    The five trials of the paper's example:

    >>> from metaan import effects, lfk_index, pool
    >>> y, v = [-4.27, -1.71, -0.58, -0.19, 0.00], [0.158, 0.076, 0.018, 0.022, 0.040]
    >>> made = lfk_index(pool(effects(y, v, measure="SMD")))
    >>> round(made.index, 2), made.says
    (-3.31, 'major asymmetry')
    """
    of = studied(res, "lfk_index")
    if not isinstance(res, PoolResult) or of.moderated:
        raise OptionError("lfk_index takes no meta-regression: give the result of pool.")
    y, z = of.eff.yi, _quantiles(of.eff.yi, of.eff.vi)
    spread = float(np.ptp(y))
    if not spread > _EQUAL * float(np.abs(y).max()):
        raise DataError("lfk_index: all effects are equal, so that the Doi plot has no limbs.")
    tip = float(y[np.abs(z).argmin()])
    index = 2.5 * float(np.mean(z + (y - tip) * float(np.ptp(z)) / spread))
    return LfkResult(
        index=index, says=_says(index), tip=tip, z=z, study=of.eff.study, yi=y, k=of.eff.k, measure=of.eff.measure,
        notes=(_NO_TEST, *_few(of.eff.k), *(note for note in of.notes if note.code != "low-power")),
    )  # fmt: skip


def _quantiles(y: FloatArray, v: FloatArray) -> FloatArray:
    """Normal quantiles of the middle ranks of studies that count for their precision."""
    size = _UNIT * v.max() / v
    _, place = np.unique(y, return_inverse=True)
    each = np.bincount(place, weights=size)
    middle = np.cumsum(each) - each / 2
    return np.asarray(ndtri((middle[place] - 0.5) / size.sum()))


def _says(index: float) -> str:
    if abs(index) <= _MINOR:
        return "no asymmetry"
    return "minor asymmetry" if abs(index) <= _MAJOR else "major asymmetry"


def _few(k: int) -> tuple[Note, ...]:
    if k >= _FEW:
        return ()
    return (Note("few-studies", f"{k} studies: the authors of the index ask for five at least."),)
