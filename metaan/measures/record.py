"""The frozen record of effect sizes that every model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import InputError, Note, listed
from metaan.measures.kinds import KINDS, READY_MADE
from metaan.measures.pymare_api import pymare
from metaan.records import plain
from metaan.validate import MISSING, FloatArray, Frozen, column, forbid, labels, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Effects", "effects"]

_SMALLEST = 1e-90
_RANGE = 1e150


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects(Frozen):
    """Effect sizes of k studies, ready to pool.

    Parameters
    ----------
    yi : array of shape (k,)
        Observed effect sizes on the analysis scale of `measure`.
    vi : array of shape (k,)
        Sampling variances of `yi`, > 0.
    study : tuple of str
        Study labels.
    measure : str
        Code of the effect size, a key of `metaan.measures.kinds.KINDS`.
    events, total : array of shape (k,) or None
        Counts behind a rate, as given (never corrected).
    data : pandas.DataFrame or None
        The rows that the effect sizes came from.
    notes : tuple of Note
        Every automatic decision.
    inputs : dict of array of shape (k,), or None
        What any other measure was computed from, as given: events_t, mean_c, n ...
    """

    yi: FloatArray
    vi: FloatArray
    study: tuple[str, ...]
    measure: str
    events: FloatArray | None = None
    total: FloatArray | None = None
    data: pd.DataFrame | None = None
    notes: tuple[Note, ...] = ()
    inputs: dict[str, FloatArray] | None = None

    def __post_init__(self) -> None:
        for name in ("yi", "vi", "events", "total"):
            value = getattr(self, name)
            if value is not None:
                own = np.array(value, dtype=np.float64)
                own.setflags(write=False)
                object.__setattr__(self, name, own)
        self._check()
        if self.inputs is not None:
            copies = {name: np.array(value, dtype=np.float64) for name, value in self.inputs.items()}
            for value in copies.values():
                value.setflags(write=False)
            object.__setattr__(self, "inputs", copies)
        if self.data is not None:
            object.__setattr__(self, "data", self.data.copy())

    def _check(self) -> None:
        """Refuse what no model could take: lengths that differ, numbers near the ends of double precision."""
        sizes = {self.yi.shape, self.vi.shape, (len(self.study),)}
        if len(sizes) > 1 or self.yi.ndim != 1 or self.measure not in KINDS:
            raise InputError("Effects need yi, vi, study of one length and a known measure: make them with effects().")
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            usable = (self.vi > _SMALLEST) & (self.vi < 1 / _SMALLEST) & (self.yi**2 < _RANGE * self.vi.min())
        if not usable.all():
            text = "yi or its variance is missing, not positive or beyond double precision (vi from 1e-90 to 1e90, yi^2"
            forbid(~usable, self.study, f"{text} up to 1e150 times the smallest vi); rescale", [self.yi, self.vi])

    @property
    def k(self) -> int:
        """Number of studies."""
        return int(self.yi.shape[0])

    def __len__(self) -> int:
        return self.k

    def __repr__(self) -> str:
        return f"<Effects: {self.measure} of {self.k} studies>"

    def to_frame(self) -> pd.DataFrame:
        """One row for each study: label, counts where known, yi and vi."""
        import pandas as pd

        columns: dict[str, Any] = {"study": list(self.study)}
        if self.events is not None and self.total is not None:
            columns |= {"events": self.events, "total": self.total}
        columns |= self.inputs or {}
        return pd.DataFrame(columns | {"yi": self.yi, "vi": self.vi})

    def to_dict(self) -> dict[str, Any]:
        """Measure, labels, yi, vi, counts and notes: fit for JSON; the rows behind them (`data`) are left out."""
        table = self.to_frame().to_dict("list")
        return {"measure": self.measure, "k": self.k, **plain(table), "notes": [str(note) for note in self.notes]}

    def _headline(self) -> str:
        return f"Effect sizes of {self.k} studies: {self.measure} ({KINDS[self.measure].label})"

    def to_pymare(self) -> Any:
        """The effects as a PyMARE ``Dataset``: y and v, an intercept and, of the inputs, the sample sizes.

        Returns
        -------
        pymare.Dataset
        """
        size = (self.inputs or {}).get("n") if self.total is None else self.total
        return pymare().Dataset(y=self.yi, v=self.vi, n=size, add_intercept=True)


def effects(
    yi: Any,
    vi: Any = None,
    *,
    sei: Any = None,
    study: Any = None,
    measure: str = "GEN",
    data: pd.DataFrame | None = None,
    missing: str = "raise",
) -> Effects:
    """Effect sizes that are already computed.

    Parameters
    ----------
    yi : array of shape (k,) or column name
        Effect sizes on the analysis scale (log odds ratios, not odds ratios).
    vi : array of shape (k,) or column name, optional
        Sampling variances of `yi`, > 0. Give `vi` or `sei`.
    sei : array of shape (k,) or column name, optional
        Standard errors of `yi`, > 0.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    measure : str, default "GEN"
        What `yi` is, for labels and back-transformation: GEN (as it stands), a measure of `metaan.effect_size`
        except PFT and IRFT, or HR (log hazard ratio). Ratios are given as logarithms.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing value; dropping is noted.

    Returns
    -------
    Effects

    Raises
    ------
    InputError
        Lengths differ, nothing given, both or neither of `vi` and `sei`.
    DataError
        A variance that is not positive, a value that is infinite, missing or not a number.

    Examples
    --------
    >>> effects([0.1, 0.3], [0.02, 0.05], study=["Adams", "Baker"])
    <Effects: GEN of 2 studies>
    """
    READY_MADE.check(measure)
    MISSING.check(missing)
    if (vi is None) == (sei is None):
        raise InputError("Give the sampling variances vi or the standard errors sei, one of the two.")
    spread_name = "vi" if sei is None else "sei"
    arrays = {
        "yi": numbers(column(data, yi, "yi"), "yi"),
        spread_name: numbers(column(data, vi if sei is None else sei, spread_name), spread_name),
    }
    k = same_length(arrays)
    names = labels(column(data, study, "study"), k)
    arrays, names, rows, notes = complete(arrays, names, data, missing)
    y, spread = arrays["yi"], arrays[spread_name]
    forbid(~(spread > 0), names, f"{spread_name} must be positive", [spread])
    variance = spread if sei is None else spread**2
    return Effects(yi=y, vi=variance, study=names, measure=measure, data=rows, notes=notes)


def complete(
    arrays: dict[str, FloatArray], study: Sequence[str], data: pd.DataFrame | None, missing: str
) -> tuple[dict[str, FloatArray], tuple[str, ...], pd.DataFrame | None, tuple[Note, ...]]:
    """Arrays without missing values: refuse or drop the studies that have one; refuse infinities."""
    if data is not None and len(data) != len(study):
        raise InputError(f"data has {len(data)} rows for {len(study)} studies: each study needs a row of its own.")
    for name, array in arrays.items():
        forbid(np.isinf(array), study, f"{name} is infinite")
    lacking = np.zeros(len(study), dtype=bool)
    for name, array in arrays.items():
        gone = np.isnan(array)
        if missing == "raise":
            forbid(gone, study, f"{name} is missing (missing='drop' leaves such studies out)")
        lacking |= gone
    if not lacking.any():
        return arrays, tuple(study), data, ()
    if lacking.all():
        raise InputError("No studies are left: each has a missing value.")
    keep = ~lacking
    dropped = tuple(s for s, gone in zip(study, lacking, strict=True) if gone)
    many = "1 study" if len(dropped) == 1 else f"{len(dropped)} studies"
    note = Note("dropped", f"{many} left out for missing values: {listed(dropped)}.", dropped)
    kept = tuple(s for s, here in zip(study, keep, strict=True) if here)
    rows = None if data is None else data.loc[keep]
    return {name: array[keep] for name, array in arrays.items()}, kept, rows, (note,)
