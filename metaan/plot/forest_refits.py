"""Rows of a forest plot of refits: without each study in turn, or study after study."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.transforms import INVERSE
from metaan.errors import OptionError
from metaan.measures.kinds import KINDS
from metaan.models.results import Spec
from metaan.plot.axis import XLABEL
from metaan.plot.forest_pooled import predicted, told
from metaan.plot.forest_rows import Shown, axis_scale
from metaan.plot.wording import measure_label, model_line
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["is_refits", "of_refits"]

_NEEDED: Final = ("estimate", "ci_low", "ci_high")
_SPREAD: Final = {"tau2": "τ²", "rho": "ρ", "I2": "I², %"}
_LINES: Final = {
    "leave_one_out": "Each line: the pooled effect of the studies that are left.",
    "cumulative": "Each line: the pooled effect of the study and of those above it.",
}


def is_refits(frame: pd.DataFrame) -> bool:
    """Whether a table is one of leave_one_out or cumulative."""
    return frame.attrs.get("kind") in _LINES and "spec" in frame.attrs


def of_refits(frame: pd.DataFrame, prediction: bool) -> Shown:
    """What a forest plot shows of a table of leave_one_out or cumulative: estimates, intervals, tau2 and I2."""
    import pandas as pd

    _check(frame)
    attrs, spec = frame.attrs, Spec(**frame.attrs["spec"])
    term = str(frame["term"].iloc[0]) if "term" in frame and attrs["overall"] is None else None
    turn = _turn(spec.measure, attrs["scale"]) if term is None else np.asarray
    columns: dict[str, Any] = {"study": _labels(frame, attrs["kind"])}
    columns |= {
        name: turn(frame[of].to_numpy(dtype=np.float64))
        for name, of in zip(("estimate", "low", "high"), _NEEDED, strict=True)
    }
    known = [name for name in _SPREAD if name in frame and not (name == "tau2" and _no_tau2(frame, spec))]
    columns |= {name: frame[name].to_numpy(dtype=np.float64) for name in known}
    headings = {name: _SPREAD[name] for name in known}
    label = measure_label(spec.measure) if term is None else f"Coefficient of {term}"
    labels: dict[str, Any] = {"left": ["study"], "right": ["estimate", *known], "headings": headings}
    if label is not None:
        labels[XLABEL] = label
        headings["estimate"] = KINDS[spec.measure].shown if term is None else "Coefficient"
    lines = _LINES[attrs["kind"]] if term is None else _LINES[attrs["kind"]].replace("pooled effect", "coefficient")
    said = [lines, *map(str, attrs.get("notes", ()))]
    return Shown(
        studies=pd.DataFrame(columns),
        summary=_overall(attrs["overall"], spec, turn, prediction),
        statistics=[model_line(spec, max(len(frame), 2))] if term is None else [],
        notes=told(said),
        level=spec.level,
        scale=axis_scale(spec.measure) if term is None else "effect",
        attrs=labels,
        data=frame,
    )


def _check(frame: pd.DataFrame) -> None:
    absent = [name for name in _NEEDED if name not in frame]
    if absent:
        raise OptionError(f"The table lacks {', '.join(absent)}, which leave_one_out and cumulative give.")
    if "term" in frame and frame["term"].nunique() > 1:
        terms = ", ".join(map(repr, dict.fromkeys(map(str, frame["term"]))))
        raise OptionError(f"The table has several coefficients ({terms}): draw one, frame[frame['term'] == ...].")
    if not np.isfinite(frame["estimate"].to_numpy(dtype=np.float64)).any():
        raise OptionError("The table has no estimate in any row: there is nothing to draw.")


def _turn(measure: str, scale: str) -> Any:
    """From the scale of the table to that of a reader; NaN stays NaN."""
    if scale == "display":
        return np.asarray
    if measure not in INVERSE:
        raise OptionError(f"{measure} is turned back at sample sizes that the table lacks: refit res.back() instead.")

    def turn(values: FloatArray) -> FloatArray:
        gone = np.isnan(values)
        return np.where(gone, np.nan, INVERSE[measure](np.where(gone, 0.0, values)))

    return turn


def _labels(frame: pd.DataFrame, kind: str) -> list[str]:
    if kind == "cumulative":
        label = [f"{name} (k = {k})" for name, k in zip(frame["study"], frame["k"], strict=True)]
        return [text if k == frame["k"].min() else f"+ {text}" for text, k in zip(label, frame["k"], strict=True)]
    if "cluster" not in frame:
        return [f"Without {name}" for name in frame["study"]]
    return [
        f"Without {name}" + (f" ({n} studies)" if n > 1 else "")
        for name, n in zip(frame["cluster"], frame["left_out"], strict=True)
    ]


def _no_tau2(frame: pd.DataFrame, spec: Spec) -> bool:
    """Whether the model has no between-study variance of its own to show."""
    return spec.method == "CE" or "rho" in frame


def _overall(overall: dict[str, Any] | None, spec: Spec, turn: Any, prediction: bool) -> list[dict[str, Any]]:
    """The result of all studies, and its prediction interval."""
    if overall is None:
        return []
    of = {name: math.nan if value is None else float(value) for name, value in overall.items()}
    points = {name: float(turn(np.array([value]))[0]) for name, value in of.items() if name in _POINTS}
    median = KINDS[spec.measure].is_median and spec.model != "beta-binomial" and of.get("tau2", 0) > 0
    label = f"All {of['k']:.0f} studies" + (" (rate of the median study)" if median else "")
    pooled = {"row": "pooled", "study": label, "estimate": points["estimate"]}
    pooled |= {"low": points["ci_low"], "high": points["ci_high"]}
    pooled |= {name: of[name] for name in _SPREAD if name in of}
    low, high = points.get("pi_low", math.nan), points.get("pi_high", math.nan)
    if not (prediction and math.isfinite(low) and math.isfinite(high)):
        return [pooled]
    return [pooled, predicted(spec.level, low, high)]


_POINTS: Final = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
