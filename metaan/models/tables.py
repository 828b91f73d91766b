"""Tables of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from metaan.measures.backtransform import display_scale
from metaan.measures.intervals import INTERVAL, limits
from metaan.validate import FloatArray

if TYPE_CHECKING:
    from metaan.models.results import GlmmResult, PoolResult

__all__ = ["study_table"]


def study_table(res: PoolResult, *, interval: str) -> pd.DataFrame:
    """One row for each study of a result; see `PoolResult.studies`."""
    INTERVAL.check(interval)
    eff = res.effects
    columns: dict[str, Any] = {"study": list(eff.study)}
    if eff.events is not None and eff.total is not None:
        low, high = limits(eff.events, eff.total, interval, res.spec.level)
        columns |= {
            "events": _whole(eff.events), "total": _whole(eff.total),
            "rate": eff.events / eff.total, "rate_low": low, "rate_high": high,
        }  # fmt: skip
    half = ndtri((1 + res.spec.level) / 2) * np.sqrt(eff.vi)
    turn = display_scale(eff).inverse if res.scale == "display" else np.asarray
    columns |= {
        "yi": turn(eff.yi), "vi": eff.vi, "ci_low": turn(eff.yi - half), "ci_high": turn(eff.yi + half),
        "weight": res.weights, "fitted": res.fitted, "blup": res.blup,
    }  # fmt: skip
    return pd.DataFrame(columns)


def glmm_study_table(res: GlmmResult, *, interval: str) -> pd.DataFrame:
    """`study_table` with the intervals of the shrunken effects; see `GlmmResult.studies`."""
    table = study_table(res, interval=interval)
    of = res.analysis or res
    half = ndtri((1 + res.spec.level) / 2) * of.blup_se
    turn = display_scale(res.effects).inverse if res.scale == "display" else np.asarray
    return table.assign(blup_low=turn(of.blup - half), blup_high=turn(of.blup + half))


def _whole(counts: FloatArray) -> np.ndarray[Any, Any]:
    """Counts as integers; effective counts stay fractions."""
    return counts.astype(np.int64) if np.array_equal(counts, np.floor(counts)) else counts
