"""Where every number of one study comes from."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pandas as pd

from metaan.evidence.labels import study_label
from metaan.evidence.store import RESPONSES, TABLE1, responses, table
from metaan.records import Shown
from metaan.validate import Option

__all__ = ["Provenance", "provenance"]

_WIDTH: Final = 110
_COLUMNS: Final = (
    "file", "row", "arm", "role", "therapy", "agent", "unit", "response_scope", "outcome", "events", "total",
    "reported_pct", "ci_low", "ci_high", "counts", "timepoint", "criteria", "n_patients", "n_lesions", "preferred",
    "confidence", "source_kind", "source", "locator", "url", "notes",
)  # fmt: skip


_NUMBERS: Final = (
    "row", "events", "total", "reported_pct", "ci_low", "ci_high", "n_patients", "n_lesions",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Provenance(Shown):
    """Everything that the evidence base holds on one study.

    Parameters
    ----------
    study_id : str
        Key of the study.
    label : str
        How figures call it.
    reference : dict
        Its line in references.csv: citation, title, journal, doi, pmid, design, country, notes ("" means not given).
    rows : pandas.DataFrame
        Every row with its file and place in it, counts, source, locator, address, confidence and notes. Rows of
        prevalence, composition and Spratt's Table 1 stand there too, with the columns that they have.
    overlaps : pandas.DataFrame
        Groups of studies that share patients with it or may: cohort_group, study_id, relation, notes; its own entry
        included.
    excluded : pandas.DataFrame
        Rows that were left out of the evidence, with the reason.
    """

    study_id: str
    label: str
    reference: dict[str, Any]
    rows: pd.DataFrame
    overlaps: pd.DataFrame
    excluded: pd.DataFrame

    def __str__(self) -> str:
        known = self.reference
        identifiers = [f"{name} {known[name]}" for name in ("doi", "pmid") if known[name]]
        lines = [f"{self.label} ({self.study_id}): {known['citation']}", *([known["title"]] if known["title"] else [])]
        lines.append("; ".join([known["design"].replace("_", " "), *identifiers, *filter(None, [known["notes"]])]))
        for (source, url), rows in self.rows.groupby(["source", "url"], sort=False):
            lines += [
                "",
                f"{source} [{', '.join(sorted(set(rows['source_kind'])))}]",
                f"  {url}" if url else "  no address",
            ]
            lines += [_said(row) for row in rows.to_dict("records")]
        if len(self.excluded):
            lines += ["", f"left out of the evidence: {len(self.excluded)} rows"]
            lines += [f"  {row.outcome}, {row.unit}: {row.reason}" for row in self.excluded.itertuples()]
        for pair in self._shared():
            lines += ["", pair]
        wrapped = (textwrap.wrap(line, _WIDTH, subsequent_indent="    ", break_long_words=False) for line in lines)
        return "\n".join("\n".join(line) for line in wrapped)

    def _shared(self) -> list[str]:
        """Each group with the studies that share patients with this one; two parts of a collection do not."""
        groups: dict[str, dict[str, str]] = {}
        for row in self.overlaps.to_dict("records"):
            groups.setdefault(row["cohort_group"], {})[row["study_id"]] = row["relation"]
        said = []
        for group, relations in groups.items():
            own = relations.pop(self.study_id)
            both = {study: how for study, how in relations.items() if not own == how == "subset"}
            named = ", ".join(f"{study_label(study)} ({how.replace('_', ' ')})" for study, how in both.items())
            if named:
                said.append(f"shares patients, or may, as {own.replace('_', ' ')} of {group}: {named}")
        return said


def _said(row: dict[Any, Any]) -> str:
    """One row on a line: arm, outcome, counts or percentage, how sure."""
    number = "no count" if pd.isna(row["events"]) else f"{row['events']}/{row['total']}"
    printed = f", printed {row['reported_pct']:g}%" if pd.notna(row["reported_pct"]) else ""
    graded = ", ".join(str(row[name]) for name in ("counts", "confidence") if row[name])
    chosen = "" if row["preferred"] == "yes" else "; not preferred"
    what = f"{row['outcome'].replace('_', ' ')} per {row['unit']}" if row["unit"] else row["outcome"].replace("_", " ")
    note = f" - {row['notes']}" if row["notes"] else ""
    return f"  {row['arm']}: {what} {number}{printed} ({graded}{chosen}; {row['file']} {row['row']}){note}"


def provenance(study_id: str) -> Provenance:
    """Every row of one study, with its source and address.

    Parameters
    ----------
    study_id : str
        Key of the study, the column `study_id` of a loaded frame.

    Returns
    -------
    Provenance
        Prints as a page; `rows` has every row, preferred or not.

    Raises
    ------
    OptionError
        Unknown key; the closest one is named.

    Examples
    --------
    >>> page = provenance("leonard2001")
    >>> page.rows[["arm", "events", "total", "counts"]].dropna().drop_duplicates().to_numpy().tolist()
    [['miltefosine', 8, 24, 'inferred'], ['placebo', 1, 27, 'inferred']]
    """
    references = table("references").set_index("study_id", drop=False)
    key = Option("study_id", dict(zip(references["study_id"], references["citation"], strict=True)), "").check(study_id)
    groups = table("overlaps")
    shared = groups.loc[groups["study_id"] == key, "cohort_group"]
    excluded = table("excluded")
    return Provenance(
        study_id=key,
        label=study_label(key),
        reference={str(name): value for name, value in references.loc[key].to_dict().items()},
        rows=_rows(key),
        overlaps=groups[groups["cohort_group"].isin(shared)].reset_index(drop=True),
        excluded=excluded[excluded["study_id"] == key].reset_index(drop=True),
    )


def _rows(key: str) -> pd.DataFrame:
    held = [frame.iloc[at[key]].reindex(columns=list(_COLUMNS)) for frame, at in _frames() if key in at]
    rows = pd.concat(held, ignore_index=True) if held else _frames()[0][0].iloc[:0].reindex(columns=list(_COLUMNS))
    return rows.assign(**{name: _text(rows[name]) for name in _COLUMNS if name not in _NUMBERS})


def _text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Text, "" where there is none."""
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy(dtype=bool)] = ""
    return pd.Series(values, index=column.index, dtype=object)


@cache
def _frames() -> list[tuple[pd.DataFrame, dict[Any, Any]]]:
    """Rows of every file, and where those of each study are."""
    frames = [responses(name) for name in RESPONSES]
    for name in ("prevalence", "composition"):
        other = table(name)
        outcome = other["what"] if "what" in other.columns else "skin_metastases"
        other = other.assign(file=name, row=range(1, len(other) + 1), unit="patient", outcome=outcome)
        frames.append(other.assign(arm=other["population"]))
    frames.append(_table1())
    return [(frame, frame.groupby("study_id").indices) for frame in frames]


def _table1() -> pd.DataFrame:
    """Both outcomes of Table 1 as rows."""
    printed = table(TABLE1)
    frames = [
        printed.assign(
            file=TABLE1, arm="as printed", unit="lesion", outcome=outcome, events=printed[outcome],
            total=printed["n_lesions"], counts="printed", source_kind="review", source="Spratt 2014, Table 1",
            preferred="no",
        )
        for outcome in ("complete_response", "objective_response")
    ]  # fmt: skip
    return pd.concat(frames).dropna(subset="events")
