"""Rows of a forest plot with subgroups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.subgroup_result import SubgroupResult
from metaan.errors import OptionError
from metaan.models.results import PoolResult
from metaan.plot.forest_extra import column_of, plain_text
from metaan.plot.forest_pooled import of_pool, shrunken, summary_rows, told
from metaan.plot.forest_rows import Block, Positions, Shown
from metaan.plot.wording import heterogeneity_line, probability, variance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["of_subgroups", "put_in_groups"]


_NOT_GIVEN: Final = "Not given"


def of_subgroups(sub: SubgroupResult, interval: str, *, prediction: bool, blup: bool) -> Shown:
    """What a forest plot shows of subgroups: each with its pooled effect, prediction interval and heterogeneity.

    The weights are those of the model of all studies, so that the squares of all subgroups can be compared.
    """
    turned = sub.back()
    own = [*turned.notes, *turned.overall.notes]
    shown = of_pool(sub.overall, interval, prediction=prediction, blup=blup, notes=own)
    positions = _positions(sub)
    for name, group in turned.groups.items():
        rows = positions[name]
        if blup:
            for column, values in shrunken(group).items():
                shown.studies.loc[rows.tolist(), column] = values
        summary = _summary(sub, group, shown.studies.iloc[rows], prediction)
        shown.blocks.append(Block(name=str(name), rows=rows, summary=summary))
    for row in shown.summary:
        if row["row"] == "pooled":
            row["study"] = f"Overall {row['study'][0].lower()}{row['study'][1:]}"
    heading = shown.statistics[0].replace("Heterogeneity", "Heterogeneity of all studies", 1)
    shown.statistics = [heading, between_line(sub), *shown.statistics[1:]]
    shown.notes = told(["Weights: of the studies in the model of all studies.", *shown.notes])
    return shown


def _summary(sub: SubgroupResult, group: PoolResult, studies: pd.DataFrame, prediction: bool) -> list[dict[str, Any]]:
    """Rows below the studies of a subgroup."""
    predict = prediction and math.isfinite(group.pi_low) and math.isfinite(group.pi_high)
    rows = summary_rows(group, studies, predict)
    return [*rows, {"row": "text", "study": _spread(sub, group)}] if group.k > 1 else rows


def _spread(sub: SubgroupResult, group: PoolResult) -> str:
    """Heterogeneity of a subgroup; a common tau2 is told once, with the test."""
    if sub.tau2 == "separate":
        return heterogeneity_line(group)
    return f"Heterogeneity: Q = {group.Q:.2f}, df = {group.Q_df}, {probability(group.Q_pvalue)}"


def between_line(sub: SubgroupResult) -> str:
    """Test that the subgroups are equal, and whose tau2 it rests on."""
    how = "each subgroup its own τ²"
    if sub.overall.spec.method == "CE":
        how = "common effect in each subgroup"
    elif sub.tau2 == "common":
        how = f"one {variance('τ²', next(iter(sub.groups.values())).tau2)} for all"
    what = "Difference between subgroups" + ("" if sub.by == "subgroup" else f" ({sub.by})")
    if math.isnan(sub.Q_between):
        return f"{what}: no test"
    df = f"df = {sub.Q_df}" if math.isinf(sub.Q_df2) else f"df = {sub.Q_df} and {sub.Q_df2:.1f}"
    letter = "Q" if math.isinf(sub.Q_df2) else "F"
    test = f"{letter} = {sub.Q_between:.2f}, {df}, {probability(sub.Q_pvalue)}"
    return f"{what}: {test}; {how}"


def _positions(sub: SubgroupResult) -> dict[str, Positions]:
    """Where the studies of each subgroup stand among all studies."""
    places: dict[tuple[str, float, float], list[int]] = {}
    eff = sub.overall.effects
    for i, key in enumerate(zip(eff.study, eff.yi.tolist(), eff.vi.tolist(), strict=True)):
        places.setdefault(key, []).append(i)
    found = {}
    for name, group in sub.groups.items():
        of = group.effects
        keys = zip(of.study, of.yi.tolist(), of.vi.tolist(), strict=True)
        found[name] = np.array([places[key].pop(0) for key in keys], dtype=np.intp)
    return found


def put_in_groups(shown: Shown, group: Any) -> None:
    """Put the studies under headings, without pooling them."""
    if shown.blocks:
        raise OptionError("group= is for a result of one group; this one has subgroups of its own.")
    if isinstance(group, str):
        values = list(column_of(shown, group, "group"))
    elif hasattr(group, "__len__") and len(group) == len(shown.studies):
        values = list(group)
    else:
        raise OptionError(f"group must be a column of the data, or one label for each of {len(shown.studies)} studies.")
    labels = [str(value) or _NOT_GIVEN for value in plain_text(values)]
    for name in dict.fromkeys(labels):
        rows = np.flatnonzero([label == name for label in labels])
        shown.blocks.append(Block(name=name, rows=rows))
