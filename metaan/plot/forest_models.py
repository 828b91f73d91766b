"""Rows of a forest plot of several models of the same studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from metaan.errors import OptionError
from metaan.plot.forest_extra import closest
from metaan.plot.forest_rows import Shown

__all__ = ["of_models"]

_NUMBERS: Final = ("events", "total", "time", "mean", "sd", "n")
_CLOSE: Final = 1e-9


def of_models(shown: Mapping[str, Shown]) -> Shown:
    """One table of several: the studies once, then the pooled effect and prediction interval of each model."""
    names = list(shown)
    first = shown[names[0]]
    for name in names[1:]:
        _same_studies(names[0], first, name, shown[name])
    weighted = [name for name in names if "weight" in shown[name].studies]
    notes = _notes(shown)
    if (weighted and weighted != names) or not _same_weights([shown[name] for name in weighted]):
        notes.insert(0, f"Weights: of {weighted[0]}.")
    studies = first.studies
    if weighted and "weight" not in studies:
        studies = studies.assign(weight=shown[weighted[0]].studies["weight"])
    summary = []
    for name, one in shown.items():
        for row in one.summary:
            counted = {key: value for key, value in row.items() if name == names[0] or not _of_studies(key)}
            summary.append(counted | {"study": f"{name}: {_small(str(row['study']))}"})
    return Shown(
        studies=studies, summary=summary,
        statistics=[f"{name}. {line}" for name, one in shown.items() for line in one.statistics],
        notes=notes, level=first.level, scale=first.scale, attrs=_attrs(shown), data=first.data,
    )  # fmt: skip


def _of_studies(column: str) -> bool:
    """Whether a column of a pooled row is about the studies, and so told once."""
    return column not in ("row", "study", "estimate", "low", "high")


def _small(text: str) -> str:
    """Text that goes on after a name and a colon."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _attrs(shown: Mapping[str, Shown]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for one in reversed(list(shown.values())):
        made |= one.attrs
    return made


def _notes(shown: Mapping[str, Shown]) -> list[str]:
    """Notes of all models once, those of some with their names."""
    said = {name: [part for note in one.notes for part in _parts(note)] for name, one in shown.items()}
    made = []
    for note in dict.fromkeys(note for notes in said.values() for note in notes):
        of = [name for name, notes in said.items() if note in notes]
        made.append(note if len(of) == len(shown) else f"{', '.join(of)}. {note}")
    return made


def _parts(note: str) -> list[str]:
    """A note on the intervals of the studies, which models share, apart from that on the prediction interval."""
    own, found, predicted = note.partition(" Prediction interval: ")
    return [own, found.strip() + " " + predicted] if found else [note]


def _same_weights(of: list[Shown]) -> bool:
    first = of[0].studies["weight"].to_numpy() if of else np.empty(0)
    return all(np.allclose(first, one.studies["weight"].to_numpy(), rtol=1e-6, atol=1e-6) for one in of)


def _same_studies(a: str, one: Shown, b: str, two: Shown) -> None:
    """Refuse models of other studies, other numbers of the same, or of something else."""
    mine, other = list(map(str, one.studies["study"])), list(map(str, two.studies["study"]))
    for label in mine:
        if mine.count(label) != other.count(label):
            raise OptionError(
                f"{b!r} has {other.count(label) or 'no'} study {label!r}, {a!r} has {mine.count(label)}: the models of "
                f"one plot are of the same studies.{'' if label in other else closest(label, set(other) - set(mine))}"
            )
    if mine != other:
        extra = next((label for label in other if label not in mine), None)
        why = f"study {extra!r} is in {b!r} alone" if extra is not None else f"{b!r} has them in another order"
        raise OptionError(f"The models of one plot are of the same studies: {why}.")
    if (one.scale, one.level) != (two.scale, two.level) or _name(one) != _name(two):
        raise OptionError(
            f"{a!r} and {b!r} cannot share an axis: {_name(one)} with {100 * one.level:g}% intervals and "
            f"{_name(two)} with {100 * two.level:g}%. Fit the same measure at the same level."
        )
    shared = [str(name) for name in one.studies if name in two.studies and str(name).split("_")[0] in _NUMBERS]
    for name in shared or ["estimate"]:
        apart = ~np.isclose(one.studies[name], two.studies[name], rtol=_CLOSE, atol=0, equal_nan=True)
        if apart.any():
            i = int(np.flatnonzero(apart)[0])
            raise OptionError(
                f"Study {mine[i]!r} has {name} {one.studies[name].iloc[i]:g} in {a!r} and "
                f"{two.studies[name].iloc[i]:g} in {b!r}: the models of one plot are of the same data."
            )


def _name(one: Shown) -> str:
    return str(one.attrs.get("headings", {}).get("estimate", {"rate": "rates"}.get(one.scale, "effects as given")))
