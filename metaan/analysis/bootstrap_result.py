"""The result of a bootstrap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import Note, OptionError
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain
from metaan.models.results import Spec
from metaan.models.text import LINES, note_lines, number, plural
from metaan.validate import FloatArray, Frozen, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INTERVALS", "BootstrapResult"]

INTERVALS: Final = Option(
    "ci",
    {
        "percentile": "quantiles of the replicates (Efron 1979)",
        "basic": "twice the estimate less these, reversed (Davison & Hinkley 1997)",
        "normal": "estimate less bias, normal quantile times the standard error",
        "bca": "percentiles corrected for bias and acceleration (Efron 1987)",
    },
    "percentile",
)
_ROWS: Final = 8


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BootstrapResult(Frozen):
    """Result of `metaan.bootstrap`.

    Parameters
    ----------
    names : tuple of str
        Statistics: estimate, tau2, I2 ..., or the coefficients of a regression, tau2 and I2.
    observed : array of shape (m,)
        Of the result itself.
    se, bias : array of shape (m,)
        Standard deviation of the replicates, and their mean less `observed`.
    intervals : dict of str to array of shape (m, 2)
        Limits by kind: percentile, basic, normal, bca. NaN where there is none.
    z0, acceleration : array of shape (m,)
        Corrections of bca; NaN where it was not asked for.
    replicates : array of shape (n - failures, m)
    n, failures : int
        Replicates drawn, and those without an estimate, which are left out.
    kind : {"nonparametric", "parametric"}
    level : float
    seed : int
    k : int
        Studies.
    spec : Spec
    effects : Effects
    notes : tuple of Note
    scale : {"analysis", "display"}
    """

    names: tuple[str, ...]
    observed: FloatArray
    se: FloatArray
    bias: FloatArray
    intervals: Mapping[str, FloatArray]
    z0: FloatArray
    acceleration: FloatArray
    replicates: FloatArray
    n: int
    failures: int
    kind: str
    level: float
    seed: int
    k: int
    spec: Spec
    effects: Effects
    notes: tuple[Note, ...]
    scale: str = "analysis"

    def __post_init__(self) -> None:
        self.own_arrays()
        own = {name: np.array(limits) for name, limits in self.intervals.items()}
        for limits in own.values():
            limits.setflags(write=False)
        object.__setattr__(self, "intervals", own)

    def back(self, *, n: float | str | None = None) -> BootstrapResult:
        """The same with the pooled estimate as a rate or ratio.

        Parameters
        ----------
        n : float or {"harmonic", "mean", "min", "max"}, optional
            Sample size of the Freeman-Tukey inverse; see `PoolResult.back`.

        Returns
        -------
        BootstrapResult
            Estimate, limits and replicates are turned; the standard error and bias are those of the turned replicates,
            and tau2 and I2 stay on the analysis scale.

        Raises
        ------
        OptionError
            A regression, whose coefficients have no such scale.
        """
        if self.spec.formula is not None:
            raise OptionError("Coefficients have no display scale; RegressResult.predict gives rates and ratios.")
        if self.scale == "display":
            return self
        scale = display_scale(self.effects, n=n)

        def turned(values: FloatArray) -> FloatArray:
            made = np.array(values)
            made[..., 0] = scale.inverse(made[..., 0])
            return made

        values, observed = turned(self.replicates), turned(self.observed)
        se, bias = self.se.copy(), self.bias.copy()
        se[0], bias[0] = values[:, 0].std(ddof=1), values[:, 0].mean() - observed[0]
        limits = {name: np.array([scale.inverse(each[0]), *each[1:]]) for name, each in self.intervals.items()}
        notes = self.notes + scale.notes + scale.cut(np.ravel([each[0] for each in self.intervals.values()]).tolist())
        return replace(
            self, observed=observed, replicates=values, se=se, bias=bias, intervals=limits, notes=notes, scale="display"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each statistic: statistic, estimate, bias, se, and percentile_low, percentile_high ..."""
        import pandas as pd

        columns: dict[str, Any] = {
            "statistic": list(self.names), "estimate": self.observed, "bias": self.bias, "se": self.se,
        }  # fmt: skip
        for name, limits in self.intervals.items():
            columns |= {f"{name}_low": limits[:, 0], f"{name}_high": limits[:, 1]}
        frame = pd.DataFrame(columns)
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN and infinity become None), without replicates."""
        fields = (
            "observed", "se", "bias", "z0", "acceleration", "n", "failures", "kind", "level", "seed", "k", "scale",
        )  # fmt: skip
        made = plain({name: getattr(self, name) for name in fields})
        limits = {
            name: [plain({"low": a, "high": b}) for a, b in each.tolist()] for name, each in self.intervals.items()
        }
        spec = {"model": self.spec.model, "measure": self.spec.measure, "method": self.spec.method}
        return spec | made | {
            "names": list(self.names), "intervals": limits, "notes": [str(note) for note in self.notes]
        }  # fmt: skip

    def __str__(self) -> str:
        spec, how = self.spec, "studies drawn again" if self.kind == "nonparametric" else "simulated under the model"
        what = f"{spec.model} model" if spec.formula is None else f"regression on {spec.formula}"
        kind = KINDS[spec.measure]
        shown = f", shown as {kind.shown.lower()}" if self.scale == "display" and kind.transformed else ""
        used = f" ({self.failures} without an estimate)" if self.failures else ""
        lines = [
            f"{self.kind.capitalize()} bootstrap of {plural(self.k, 'study')}",
            f"Measure: {spec.measure} ({kind.label}){shown}",
            f"{what.capitalize()}, {spec.method}; {self.n:,} replicates{used}, {how}, seed {self.seed}",
            "",
        ]
        for i, name in enumerate(self.names[:_ROWS]):
            limits = "; ".join(
                f"{kind} {number(each[i, 0])} to {number(each[i, 1])}"
                for kind, each in self.intervals.items()
                if not math.isnan(each[i, 0])
            )
            lines.append(f"{name:<11} {number(self.observed[i])}, bias {number(self.bias[i])}, SE {number(self.se[i])}")
            lines.append(f"            {100 * self.level:g}%: {limits or 'no interval'}")
        if len(self.names) > _ROWS:
            lines.append(f"... and {len(self.names) - _ROWS} more: to_frame()")
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<BootstrapResult: {self.n} {self.kind} replicates of {self.spec.measure}, {self.k} studies>"
