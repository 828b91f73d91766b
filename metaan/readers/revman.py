"""CSV files that RevMan writes: the rows of every analysis of a review in one table."""

from __future__ import annotations

from typing import Final

from metaan.errors import Note
from metaan.readers.analyses import Analysis, Row, choose, grid_of
from metaan.readers.grid import Grid, blank, said
from metaan.readers.vocabulary import squashed

__all__ = ["is_revman", "one_analysis"]

_KEYS: Final = (("analysisgroup", "analysisnumber"), ("comparisonnumber", "outcomenumber"), ("compno", "outcomeno"))
_TEXTS: Final = {
    "comparison_name": ("analysisgroupname", "comparisonname", "comparison", "complab"),
    "outcome_name": ("analysisname", "outcomename", "outcome", "outclab"),
    "kind": ("datatype", "type"),
    "printed_measure": ("effectmeasure", "sm"),
    "treated": ("experimentalgrouplabel", "grouplabel1", "labele"),
    "control": ("controlgrouplabel", "grouplabel2", "labelc"),
}  # fmt: skip
_ROW: Final = {
    "study": ("study", "studlab", "studyid", "studyname"),
    "subgroup": ("subgroup", "subgroupname", "grplab"),
    "year": ("studyyear", "year", "yearofstudy"),
}
_NUMBERS: Final = {
    "events_t": ("experimentalcases", "events1", "evente"),
    "total_t": ("experimentaln", "total1", "ne"),
    "events_c": ("controlcases", "events2", "eventc"),
    "total_c": ("controln", "total2", "nc"),
    "mean_t": ("experimentalmean", "mean1", "meane"),
    "sd_t": ("experimentalsd", "sd1", "sde"),
    "mean_c": ("controlmean", "mean2", "meanc"),
    "sd_c": ("controlsd", "sd2", "sdc"),
    "yi": ("givmean",),
    "sei": ("givse",),
    "o_e": ("oe",),
    "o_e_variance": ("variance", "v"),
}
_MEASURES: Final = {
    "riskratio": "RR", "rr": "RR", "oddsratio": "OR", "or": "OR", "riskdifference": "RD", "rd": "RD",
    "petooddsratio": "PETO", "peto": "PETO", "meandifference": "MD", "md": "MD",
    "stdmeandifference": "SMD", "standardisedmeandifference": "SMD", "smd": "SMD", "hazardratio": "HR", "hr": "HR",
}  # fmt: skip


def is_revman(grid: Grid) -> bool:
    """Whether the first row names the columns of a table of analyses."""
    first = next(grid.filled(), None)
    if first is None:
        return False
    names = {squashed(said(cell)) for cell in grid.rows[first]}
    return any(set(keys) <= names for keys in _KEYS) and not names.isdisjoint(_ROW["study"])


def one_analysis(grid: Grid, comparison: str | int | None, outcome: str | int | None) -> tuple[Grid, Analysis]:
    """Table of the analysis that is asked for."""
    first = next(grid.filled())
    places = {squashed(said(cell)): place for place, cell in reversed(list(enumerate(grid.rows[first])))}
    keys = next(keys for keys in _KEYS if set(keys) <= set(places))
    analyses: dict[tuple[str, str], Analysis] = {}
    numbers = {name: place for name, words in _NUMBERS.items() if (place := _place(places, words)) is not None}
    texts = {name: _place(places, words) for name, words in (_TEXTS | _ROW).items()}
    aside = 0
    for cells in grid.rows[first + 1 :]:
        text = {name: "" if place is None else _plain(cells[place]) for name, place in texts.items()}
        key = (_plain(cells[places[keys[0]]]), _plain(cells[places[keys[1]]]))
        given = {name: cells[place] for name, place in numbers.items() if not blank(cells[place])}
        if not text["study"] or not all(key):
            aside += not all(map(blank, cells))
            continue
        analysis = analyses.setdefault(key, Analysis(key[0], "", key[1], ""))
        for name in _TEXTS:
            setattr(analysis, name, getattr(analysis, name) or text[name])
        analysis.rows.append(Row(text["study"], text["subgroup"], given, text["study"], text["year"]))
    for analysis in analyses.values():
        _finish(analysis)
    chosen = choose(list(analyses.values()), comparison, outcome, grid.place)
    made = grid_of(chosen, grid.place, "revman-csv")
    made.notes[:0] = grid.notes
    if aside:
        made.notes.append(Note("no-study", f"{aside} rows without a study or the number of an analysis left out."))
    return made, chosen


def _place(places: dict[str, int], words: tuple[str, ...]) -> int | None:
    return next((places[word] for word in words if word in places), None)


def _plain(cell: object) -> str:
    """A cell as text, a whole number without its point."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else said(cell)


def _finish(analysis: Analysis) -> None:
    """Kind of data and measure, and n for total where means are compared."""
    present = {name for row in analysis.rows for name in row.cells}
    analysis.measure = _MEASURES.get(squashed(analysis.printed_measure), "")
    if {"mean_t", "mean_c"} <= present and "events_t" not in present:
        rename = {"total_t": "n_t", "total_c": "n_c"}
        for row in analysis.rows:
            row.cells = {rename.get(name, name): cell for name, cell in row.cells.items()}
    if not analysis.kind:
        analysis.kind = "inverse variance" if "yi" in present else "O-E and variance" if "o_e" in present else (
            "continuous" if "mean_t" in present else "dichotomous"
        )  # fmt: skip
