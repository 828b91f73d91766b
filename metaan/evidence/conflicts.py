"""One study, different numbers in different sources."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import pandas as pd

from metaan.evidence.labels import study_label
from metaan.evidence.options import NAME
from metaan.evidence.store import RESPONSES, TABLE1, responses, table
from metaan.validate import Option

__all__ = ["conflicts"]

_KEY: Final = ["study_id", "arm", "unit", "response_scope", "outcome"]
_COLUMNS: Final = (
    "conflict", "study", "study_id", "arm", "unit", "response_scope", "outcome", "differs", "events", "total",
    "reported_pct", "counts", "timepoint", "source_kind", "source", "url", "confidence", "preferred", "file", "row",
)  # fmt: skip
FILE: Final = Option("name", {name: NAME.choices[name] for name in RESPONSES}, "electrochemotherapy")
_Row = dict[str, Any]


def conflicts(name: str | None = None) -> pd.DataFrame:
    """Numbers of one study that differ between sources, side by side.

    Parameters
    ----------
    name : str, optional
        One response file, e.g. ``"electrochemotherapy"``; all of them by default.

    Returns
    -------
    pandas.DataFrame
        One line for each reading of a count or percentage that another source gives differently: `conflict` numbers
        the disagreements, `differs` says in words what does (events, total, percentage, unit, time of the reading), and
        the rest is the row as in the file. `preferred` tells the reading that `metaan.load` takes.

    Raises
    ------
    OptionError
        Unknown file.

    Notes
    -----
    Readings are compared within a study, arm, unit, scope and outcome, when their sources differ. A percentage without
    counts agrees with counts that lie within one unit of its last digit. Readings of one source at several times are
    no conflict; where the times of two sources differ, that is said. The table of Spratt 2014 heads every number as
    lesions: where the study's own text counts patients, the unit is what differs. Labels of arms are the encoder's:
    readings whose arms have different names are not compared.

    Examples
    --------
    >>> found = conflicts("intralesional")
    >>> found.loc[found["study_id"] == "ridolfi2001", ["events", "total", "differs"]].to_numpy().tolist()
    [[9, 16, 'events'], [11, 16, 'events']]
    """
    names = RESPONSES if name is None else (FILE.check(name),)
    rows = [row for file in names for row in _records(responses(file))]
    groups: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in _KEY), []).append(row)
    found = [(readings, said) for readings in groups.values() if (said := _differences(readings))]
    found += _units(rows)
    lines = [
        {**row, "conflict": number, "study": study_label(row["study_id"]), "differs": said}
        for number, (readings, said) in enumerate(found, start=1)
        for row in readings
    ]
    return pd.DataFrame(lines, columns=list(_COLUMNS)).astype({"events": "Int64", "total": "Int64", "row": "Int64"})


def _differences(readings: list[_Row]) -> str:
    """What differs between the readings of different sources; "" when they agree."""
    said: dict[str, None] = {}
    for one, other in combinations(readings, 2):
        if one["source"] != other["source"]:
            what = _difference(one, other)
            times = {one["timepoint"], other["timepoint"]} - {""}
            said |= dict.fromkeys([*what, *(["time"] if what and len(times) > 1 else [])])
    return ", ".join(said)


def _difference(one: _Row, other: _Row) -> list[str]:
    if _counted(one) and _counted(other):
        return [name for name in ("events", "total") if one[name] != other[name]]
    shares = [_share(row) for row in (one, other)]
    if shares[0] != shares[0] or shares[1] != shares[1]:
        return []
    unit = max(_unit(row) for row in (one, other))
    return ["percentage"] if abs(shares[0] - shares[1]) >= unit * (1 - 1e-9) else []


def _counted(row: _Row) -> bool:
    return not (bool(pd.isna(row["events"])) or bool(pd.isna(row["total"])))


def _share(row: _Row) -> float:
    """Percentage of a reading, from its counts where it has them."""
    if _counted(row):
        return float(100 * row["events"] / row["total"])
    return float(row["reported_pct"])


def _unit(row: _Row) -> float:
    """One unit of the last printed digit of a percentage without counts."""
    if _counted(row):
        return 0.0
    text = f"{row['reported_pct']:.6f}".rstrip("0")
    return float(10.0 ** -len(text.split(".")[1]))


def _units(rows: list[_Row]) -> list[tuple[list[_Row], str]]:
    """Numbers of Spratt's Table 1 that are patients in the study's own text."""
    found = []
    for line in _records(table(TABLE1)):
        for outcome in ("complete_response", "objective_response"):
            wanted = line["study_id"], outcome, line[outcome], line["n_lesions"]
            if bool(pd.isna(line[outcome])):
                continue
            same = [row for row in rows if _counted(row) and tuple(row[name] for name in _COUNT) == wanted]
            if same and all(row["unit"] == "patient" for row in same):
                found.append(([same[0], _printed(line, outcome)], "unit"))
    return found


_COUNT: Final = ("study_id", "outcome", "events", "total")


def _records(frame: pd.DataFrame) -> list[_Row]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _printed(line: _Row, outcome: str) -> _Row:
    return {
        "study_id": line["study_id"], "arm": "as printed", "unit": "lesion", "response_scope": "treated_lesions",
        "outcome": outcome, "events": line[outcome], "total": line["n_lesions"], "reported_pct": float("nan"),
        "counts": "printed", "timepoint": "", "source_kind": "review", "source": "Spratt 2014, Table 1", "url": "",
        "confidence": "", "preferred": "no", "file": TABLE1, "row": line["row"],
    }  # fmt: skip
