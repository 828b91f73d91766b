"""Rows of a forest plot of one pooled result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from metaan.errors import InputError, OptionError
from metaan.evidence.explain import explain
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.results import PoolResult
from metaan.names import RECORD
from metaan.plot.axis import XLABEL
from metaan.plot.forest_arms import arm_attrs
from metaan.plot.forest_rows import Shown, axis_scale, behind, normal_limits, study_rows, sums
from metaan.plot.wording import (
    axis_label,
    heterogeneity_line,
    interval_lines,
    measure_label,
    model_line,
    patient_lines,
    pooled_label,
    pooled_lines,
    symbols,
    weight_lines,
)
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["data_notes", "labels_of", "of_pool", "predicted", "shrunken", "told"]


def of_pool(
    res: PoolResult, interval: str, *, prediction: bool, blup: bool, notes: Iterable[object] | None = None
) -> Shown:
    """What a forest plot shows of a result of pool, glmm, beta_binomial, mantel_haenszel, peto ...

    `notes` stand in place of those of the result.
    """
    shown = res.back()
    eff, level = shown.effects, shown.spec.level
    studies = study_rows(eff, interval, level).assign(weight=shown.weights)
    prediction = prediction and math.isfinite(shown.pi_low) and math.isfinite(shown.pi_high)
    said = [
        *pooled_lines(shown),
        *interval_lines(shown, interval, prediction=prediction),
        *weight_lines(shown),
        *data_notes(eff),
        *map(str, shown.notes if notes is None else notes),
    ]
    if blup:
        studies = studies.assign(**shrunken(res))
        ends = f" with {100 * level:g}% intervals" if studies["blup_low"].notna().any() else ""
        said.append(f"Shrunken effects of the studies{ends}, the model taken as known.")
    return Shown(
        studies=studies, summary=summary_rows(shown, studies, prediction),
        statistics=[heterogeneity_line(shown), *patient_lines(shown), model_line(shown.spec, shown.k)],
        notes=told(said), level=level, scale=axis_scale(eff.measure), attrs=labels_of(eff), data=behind(eff),
    )  # fmt: skip


def labels_of(eff: Effects) -> dict[str, Any]:
    """Label of the axis, order and headings of the columns that effects come with."""
    attrs, label = arm_attrs(eff), axis_label(eff)
    if label is not None:
        attrs[XLABEL] = label
    if measure_label(eff.measure) is not None:
        attrs["headings"] = {"estimate": KINDS[eff.measure].shown} | attrs.get("headings", {})
    return attrs


def shrunken(res: PoolResult) -> dict[str, FloatArray]:
    """Shrunken effects of the studies on the display scale, with normal limits, the model taken as known."""
    if res.spec.method == "CE" or res.spec.model == "stratified":
        text = "blup=True: a model of one common effect has no effects of single studies to show"
        raise OptionError(f"{text}. Fit a random-effects model, or leave blup out.")
    of = res.analysis or res
    turned = normal_limits(of.effects, of.blup, of.blup_se, of.spec.level)
    return dict(zip(("blup", "blup_low", "blup_high"), turned, strict=True))


def summary_rows(shown: PoolResult, studies: pd.DataFrame, prediction: bool) -> list[dict[str, Any]]:
    """Pooled effect and, where there is one, prediction interval."""
    pooled: dict[str, Any] = {
        "row": "pooled", "study": pooled_label(shown), "weight": float(studies["weight"].sum()),
        "estimate": shown.estimate, "low": shown.ci_low, "high": shown.ci_high,
    }  # fmt: skip
    pooled |= sums(studies)
    if not prediction:
        return [pooled]
    return [pooled, predicted(shown.spec.level, shown.pi_low, shown.pi_high)]


def predicted(level: float, low: float, high: float, what: str = "prediction interval") -> dict[str, Any]:
    """Row of a prediction interval."""
    return {"row": "prediction", "study": f"{100 * level:g}% {what}", "low": low, "high": high}


def told(said: Iterable[str]) -> list[str]:
    """Notes as they are printed, each once."""
    return list(dict.fromkeys(map(symbols, said)))


def data_notes(eff: Effects) -> list[str]:
    """Cautions about rows that `metaan.load` selected; what it left out is told by `explain`."""
    data = eff.data
    if data is None or RECORD not in data.attrs:
        return []
    try:
        notes = [(note.code, note.text) for note in explain(data).notes]
    except InputError:  # the frame lost the column that tells its rows apart: what was true when it was loaded
        notes = [(note["code"], note["text"]) for note in data.attrs[RECORD]["notes"]]
    return [text for code, text in notes if code != "left-out"]
