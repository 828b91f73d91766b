"""The result of a permutation test."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import Note
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain
from metaan.models.text import LINES, note_lines, number, plural, probability, reference
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PermutationResult"]

_COLUMNS: Final = ("statistic", "pvalue", "mc_error", "pvalue_low", "pvalue_high")
_ROWS: Final = 8


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PermutationResult(Frozen):
    """Result of `metaan.permutation_test`.

    Parameters
    ----------
    names : tuple of str
        Coefficients; ``("mean",)`` for a pooled effect.
    statistic, pvalue : array of shape (p,)
        z or t as observed, and the share of permutations that are as far from 0.
    mc_error, pvalue_low, pvalue_high : array of shape (p,)
        Monte Carlo standard error of the p-value and its 95 % interval; 0 and the p-value itself where exact.
    pvalue_model : array of shape (p,)
        What the reference distribution of the model gives.
    QM, QM_pvalue, QM_mc_error, QM_pvalue_model : float
        Test of all moderators; NaN where there are none.
    permutations : int
        All permutations of an exact test (of signs: both halves), else the random ones.
    exact : bool
    seed : int or None
        Of the random permutations.
    ci_low, ci_high : float
        Limits of the effects that are not rejected; NaN where they were not asked for.
    level : float
        Of these limits.
    statistics : array of shape (permutations, p)
        Of every permutation.
    QM_statistics : array of shape (permutations,) or (0,)
    method, test : str
        tau2 estimator and kind of statistic.
    formula : str or None
    effects : Effects
    notes : tuple of Note
    scale : {"analysis", "display"}
        Of the limits.
    """

    names: tuple[str, ...]
    statistic: FloatArray
    pvalue: FloatArray
    mc_error: FloatArray
    pvalue_low: FloatArray
    pvalue_high: FloatArray
    pvalue_model: FloatArray
    QM: float
    QM_pvalue: float
    QM_mc_error: float
    QM_pvalue_model: float
    permutations: int
    exact: bool
    seed: int | None
    ci_low: float
    ci_high: float
    level: float
    statistics: FloatArray
    QM_statistics: FloatArray
    method: str
    test: str
    formula: str | None
    effects: Effects
    notes: tuple[Note, ...]
    scale: str = "analysis"

    def __post_init__(self) -> None:
        self.own_arrays()

    @property
    def k(self) -> int:
        """Studies."""
        return self.effects.k

    def back(self) -> PermutationResult:
        """The same with the limits as rates or ratios."""
        if self.scale == "display":
            return self
        scale = display_scale(self.effects)
        low, high = (scale.inverse_point(end) for end in (self.ci_low, self.ci_high))
        return replace(self, ci_low=low, ci_high=high, scale="display", notes=self.notes + scale.notes)

    def to_frame(self) -> pd.DataFrame:
        """One row for each coefficient."""
        import pandas as pd

        columns = {name: getattr(self, name) for name in (*_COLUMNS, "pvalue_model")}
        return pd.DataFrame({"term": list(self.names)} | columns)

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        fields = (
            *_COLUMNS, "pvalue_model", "QM", "QM_pvalue", "QM_mc_error", "QM_pvalue_model", "permutations", "exact",
            "seed", "ci_low", "ci_high", "level", "k", "method", "test", "formula", "scale",
        )  # fmt: skip
        made = plain({name: getattr(self, name) for name in fields})
        return made | {"names": list(self.names), "notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        eff, symbol = self.effects, "z" if self.test == "z" else "t"
        how = f"all {self.permutations:,}" if self.exact else f"{self.permutations:,} random (seed {self.seed})"
        what = "signs of the effects turned" if self.names == ("mean",) else f"moderators {self.formula} dealt out anew"
        moderators = self.names != ("mean",)
        lines = [
            f"Permutation test of {plural(self.k, 'study')}, measure {eff.measure} ({KINDS[eff.measure].label})",
            f"{what.capitalize()}: {how} permutations",
            f"tau2: {self.method}; statistic: test={self.test} ({reference(self.test, moderators=moderators)})",
            "",
        ]
        for i, name in enumerate(self.names[:_ROWS]):
            error = "" if self.exact else f" (Monte Carlo error {number(self.mc_error[i], 2)})"
            model = f"; by the model p {probability(self.pvalue_model[i])}"
            lines.append(
                f"{name:<11} {symbol} {number(self.statistic[i])}, p {probability(self.pvalue[i])}{error}{model}"
            )
        if len(self.names) > _ROWS:
            lines.append(f"... and {len(self.names) - _ROWS} more: to_frame()")
        if not math.isnan(self.QM):
            lines.append(f"Moderators  QM {number(self.QM)}, p {probability(self.QM_pvalue)}")
        if not math.isnan(self.ci_low):
            shown = self.back()
            lines.append(f"Interval    {100 * self.level:g}% {number(shown.ci_low)} to {number(shown.ci_high)}")
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        p = ", ".join(f"{value:.4g}" for value in np.atleast_1d(self.pvalue)[:5])
        return f"<PermutationResult: {self.permutations} permutations, p = {p}>"
