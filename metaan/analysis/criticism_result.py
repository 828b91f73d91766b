"""The result of a predictive check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from metaan.errors import Note
from metaan.models.plain import plain_value
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CheckResult"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CheckResult(Frozen):
    """Result of `metaan.predictive_check`.

    Parameters
    ----------
    statistics : tuple of str
        What was compared.
    observed : array of shape (m,)
        Its values in the data.
    simulated : array of shape (n, m)
        Its values in data drawn from the fitted model; NaN where it is not defined.
    p_low, p_high : array of shape (m,)
        Share of simulated values, the observed one counted among them, that are at most, or at least, as large.
    pvalue : array of shape (m,)
        Twice the smaller of the two, at most 1; p_high for max_residual, which is one-sided.
    residual : array of shape (k,)
        Standardised residuals of the studies.
    envelope : array of shape (k, 3)
        Lower limit, median and upper limit of the ordered residuals of simulated data, at `level` each.
    level : float
    study : tuple of str
    k, n, seed : int
        Studies, data sets drawn, and the seed.
    measure, model : str
    notes : tuple of Note
    """

    statistics: tuple[str, ...]
    observed: FloatArray
    simulated: FloatArray
    p_low: FloatArray
    p_high: FloatArray
    pvalue: FloatArray
    residual: FloatArray
    envelope: FloatArray
    level: float
    study: tuple[str, ...]
    k: int
    n: int
    seed: int
    measure: str
    model: str
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    def to_frame(self) -> pd.DataFrame:
        """One row for each statistic: observed, quantiles of the simulated values, p_low, p_high and pvalue."""
        import pandas as pd

        tail = (1 - self.level) / 2
        low, middle, high = self._quantiles([tail, 0.5, 1 - tail])
        frame = pd.DataFrame(
            {
                "what": list(self.statistics), "observed": self.observed, "low": low, "median": middle,
                "high": high, "p_low": self.p_low, "p_high": self.p_high, "pvalue": self.pvalue,
            }
        )  # fmt: skip
        frame.attrs["notes"] = [str(note) for note in self.notes]
        return frame

    def draws(self) -> pd.DataFrame:
        """Simulated values, one column for each statistic: for a histogram with the observed value in it."""
        import pandas as pd

        return pd.DataFrame(self.simulated, columns=list(self.statistics))

    def qq(self) -> pd.DataFrame:
        """Ordered residuals for a QQ plot: study, residual, normal (expected quantile) and the envelope low, high.

        The envelope holds each ordered residual of data from the model with probability `level`, one at a time; it is
        not a test of all of them.
        """
        import pandas as pd

        order = np.argsort(self.residual, kind="stable")
        low, middle, high = self.envelope.T
        return pd.DataFrame(
            {
                "study": [self.study[i] for i in order], "residual": self.residual[order],
                "normal": ndtri((np.arange(1, self.k + 1) - 0.375) / (self.k + 0.25)),
                "low": low, "median": middle, "high": high,
            }
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN becomes None)."""
        flat: dict[str, Any] = {
            name: getattr(self, name) for name in ("measure", "model", "k", "n", "seed", "level")
        }  # fmt: skip
        for i, name in enumerate(self.statistics):
            for part in ("observed", "p_low", "p_high", "pvalue"):
                flat[f"{name}_{part}"] = plain_value(getattr(self, part)[i])
        return flat | {
            "study": list(self.study), "residual": self.residual.tolist(), "notes": [str(note) for note in self.notes]
        }  # fmt: skip

    def _quantiles(self, at: list[float]) -> list[FloatArray]:
        """Quantiles of the simulated values that are defined."""
        made = np.full((len(at), len(self.statistics)), np.nan)
        for i, column in enumerate(self.simulated.T):
            known = column[~np.isnan(column)]
            if known.size:
                made[:, i] = np.quantile(known, at)
        return list(made)

    def __str__(self) -> str:
        tail = (1 - self.level) / 2
        low, high = self._quantiles([tail, 1 - tail])
        width = max(map(len, self.statistics))
        lines = [
            f"Predictive check of {plural(self.k, 'study')}, measure {self.measure}",
            f"{plural(self.n, 'data set')} from the {self.model}; seed {self.seed}",
            "",
            *(
                f"{name:<{width}}  {number(float(self.observed[i]))}, model {number(float(low[i]))} to "
                f"{number(float(high[i]))} ({100 * self.level:g}%), p {probability(float(self.pvalue[i]))}"
                for i, name in enumerate(self.statistics)
            ),
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<CheckResult: {', '.join(self.statistics)} of {self.k} studies>"
