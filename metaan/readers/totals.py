"""Rows that are totals of other rows: by their name, and by their counts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from metaan.errors import InputError
from metaan.readers.cells import BESIDE, FRACTION, is_mark, tidy, whole
from metaan.readers.grid import Cell, Grid, blank, clipped, is_number, said
from metaan.readers.needs import is_count
from metaan.readers.roles import Roles

__all__ = ["Sums", "of_arms", "says_total"]

_SUB: Final = r"(?:sub[ -]?|zwischen|sous[ -])(?:totals?|totaux|summen?)"
_TOTAL: Final = rf"(?:{_SUB}|(?:(?:grand|overall|row|column|table) )?totals?)"
_WHO: Final = (
    r"(?:patients?|participants?|subjects?|studies|trials|cohorts?|arms?|groups|subgroups|cases|events?|deaths|reports"
    r"|responders|lesions|women|men|sites|cent(?:er|re)s|data|(?:study )?(?:population|sample))"
)
_WHAT: Final = r"(?:total|estimates?|effects?|results?|mean|average|rate|proportion|prevalence|analysis|es|smd|[orh]r)"
_STRONG: Final = re.compile(
    rf"{_TOTAL}|(?:{_TOTAL}|overall|pooled|summary)(?:\s*[:(\[]|\s+[-–—]\s+).*"
    rf"|totals? (?:n|no\.?|number|of .*|{_WHO}|[0-9]{{4}}\s*(?:-|–|to)\s*[0-9]{{2,4}})"
    rf"|(?:overall|pooled|summary)(?: (?:{_WHAT}|{_WHO}))*(?:\s*[(\[].*)?"
    r"|(?:weighted )?(?:mean|average|median)|weighted total"
    rf"|all {_WHO}(?: (?:combined|together|pooled))?|(?:re|fe|ce|ee) model.*"
    r"|(?:fixed|random|common|equal)[- ]effects?(?: model)?(?:\W.*)?"
    r"|heterogeneity\b.*|i[ -]?(?:2|²|squared)(?:\W.*)?|test for (?:overall|subgroup)\b.*"
    r"|[σ∑]|gesamt(?:summe|zahl)?|insgesamt|summe|totale|totaux|totaal|totalt"
)
"""Names that only a total has."""
_PART: Final = re.compile(rf"{_SUB}\b.*|.*\b{_SUB}")
_WEAK: Final = re.compile(
    r"all|sum|combined|ensemble|somme|suma"
    r"|(?:totals?|overall|pooled|combined|summary|all) .{1,60}|.{1,60} (?:totals?|overall|pooled|combined)"
)
"""Names that a total has, and a trial may have: ALL, SUM, Total Body Irradiation."""
_STUDY: Final = re.compile(
    r"\b(?:trial|study|et al|group|consortium|registry|investigators|university|hospital)\b|\b(?:19|20)[0-9]{2}[a-z]?\b"
)
_ARM_HEADINGS: Final = re.compile(
    r"(?:study |treatment )?(?:arms?|groups?)|treatments?|interventions?|regimens?|cohorts?|sub-?groups?|stratum|strata"
)
_ARM_TOTALS: Final = re.compile(r"(?:grand |sub-?)?totals?|overall|(?:all|both)(?: (?:arms|groups))?|combined|pooled")
_TREATMENTS: Final = frozenset({"combined", "pooled"})
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:[.,' ][0-9]{3})+")
_FAR: Final = 200  # rows above that a subtotal may be of


def says_total(label: str) -> str:
    """Whether a label is that of a total: "yes", "maybe" or ""."""
    name = " ".join(tidy(label).casefold().split()).rstrip(" :*†‡§¶#.")
    if _STRONG.fullmatch(name):
        return "yes"
    if _PART.fullmatch(name):
        return "maybe" if _STUDY.search(name) else "yes"
    if re.fullmatch("totals? [0-9]{4}", name) or (_WEAK.fullmatch(name) and not _STUDY.search(name)):
        return "maybe"
    return ""


def of_arms(grid: Grid, rows: Iterable[int], roles: Roles, sums: Sums) -> set[int]:
    """Rows whose arm is "Total" where the same study has other rows.

    Raises
    ------
    InputError
        The counts of such a row are not the sums of the others.
    """
    places = [
        place for place in roles.beside.values() if _ARM_HEADINGS.fullmatch(roles.names[place].strip().casefold())
    ]
    label = roles.of.get("study")
    found: set[int] = set()
    for place in places:
        told: dict[str, list[tuple[int, str]]] = {}
        for i in rows:
            cell = grid.rows[i][place]
            if not blank(cell):
                study = "" if label is None else str(grid.rows[i][label])
                told.setdefault(study, []).append((i, tidy(cell).casefold() if isinstance(cell, str) else ""))
        for pairs in told.values():
            others = [i for i, arm in pairs if not _ARM_TOTALS.fullmatch(arm)]
            for i, arm in pairs:
                if others and _ARM_TOTALS.fullmatch(arm) and _is_sum(grid, roles, sums, (i, place), others):
                    found.add(i)
    return found


def _is_sum(grid: Grid, roles: Roles, sums: Sums, cell: tuple[int, int], others: Sequence[int]) -> bool:
    """Whether an arm called a total is one; a combined treatment is not. One row alone does not make a total."""
    i, place = cell
    fits = sums.of_rows(i, others)
    name = tidy(grid.rows[i][place])
    if name.casefold() in _TREATMENTS:
        return fits is True and len(others) > 1
    if fits is False or (fits is None and len(others) == 1):
        of = f" of study {clipped([said(grid.rows[i][roles.of['study']])])}" if "study" in roles.of else ""
        raise InputError(
            f"{grid.place}, row {grid.lines[i]}: column {roles.names[place]!r} calls it {name!r}{of}, which the "
            "other rows do not add up to. Keep this row or the others: take out the row, or rows, not meant."
        )
    return True


@dataclass
class _Running:
    """Sums of the counts of some rows."""

    sums: list[float]
    rows: int = 0
    gaps: bool = False

    def add(self, values: Sequence[float]) -> None:
        self.rows += not all(map(math.isnan, values))
        for place, value in enumerate(values):
            if math.isnan(value):
                self.gaps = True
            else:
                self.sums[place] += value

    def compared(self, values: Sequence[float]) -> bool | None:
        """Whether values are these sums; None where they may be: no rows, no counts, or some that are missing."""
        pairs = [(value, sums) for value, sums in zip(values, self.sums, strict=True) if not math.isnan(value)]
        if not self.rows or not pairs:
            return None
        if all(value == sums for value, sums in pairs):
            return True
        return None if self.gaps and all(value >= sums for value, sums in pairs) else False

    def exceeds(self, values: Sequence[float]) -> bool:
        """Whether a sum is larger than its value, NaN being none, so that more rows only lead away from it."""
        return any(sums > value for value, sums in zip(values, self.sums, strict=True))


@dataclass
class Sums:
    """Compares the counts of a row with the sums of rows above: all of them, and those since the last total."""

    grid: Grid
    roles: Roles
    places: list[tuple[str, int, int]] = field(init=False)
    above: _Running = field(init=False)
    block: _Running = field(init=False)
    seen: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        halves = self.roles.fractions
        self.places = [
            (name, place, int(name.startswith("total") and halves.get(name.replace("total", "events")) == place))
            for name, place in self.roles.of.items()
            if is_count(name)
        ]
        self.above = self._none()
        self.block = self._none()

    def _none(self) -> _Running:
        return _Running([0.0] * len(self.places))

    def counts(self, i: int) -> list[float]:
        """Counts of a row, NaN where there is none."""
        return [_count(self.grid.rows[i][place], half) for _, place, half in self.places]

    def study(self, values: list[float]) -> None:
        """Take the counts of a row for those of a study."""
        self.above.add(values)
        self.block.add(values)
        self.seen.append(values)

    def new_block(self) -> None:
        """Begin again after a total or the heading of a section."""
        self.block = self._none()

    def fit(self, values: Sequence[float]) -> bool:
        """Whether all counts of a row, events among them, are sums of two or more rows."""
        names = {name.partition("_")[0] for name, _, _ in self.places}
        if "events" not in names or len(names) < 2 or any(map(math.isnan, values)) or not any(values):
            return False
        return any(part.rows > 1 and part.compared(values) for part in (self.above, self.block))

    def of_rows(self, i: int, others: Iterable[int]) -> bool | None:
        """Whether the counts of a row are the sums of those of others; None where they may be."""
        part = self._none()
        for other in others:
            part.add(self.counts(other))
        return part.compared(self.counts(i))

    def fit_name(self, i: int, below: Iterable[int]) -> bool | None:
        """Whether a row named like a total is the sum of rows above, or below where it is the first; None if unsure."""
        if not self.places:
            return None
        values = self.counts(i)
        parts = [part for part in (self.above, self.block) if part.rows]
        answers = [part.compared(values) for part in parts] or [self.of_rows(i, below)]
        tail = self._none()
        for row in reversed(self.seen[-_FAR:]):
            tail.add(row)
            if tail.exceeds(values):
                break
            answers += [True] if tail.rows > 1 and tail.compared(values) else []
        return True if True in answers else None if None in answers else False


def _count(cell: Cell, half: int) -> float:
    """Count in a cell: the total of 3/24 where `half` is 1; marks between thousands are passed over."""
    if is_number(cell):
        return float(cell) if abs(cell) < 2**53 else math.nan
    if not isinstance(cell, str) or len(cell) > 60 or blank(cell) or is_mark(cell):
        return math.nan
    if cell.isdecimal() and cell.isascii():
        return float(cell)
    text = tidy(cell)
    if found := FRACTION.fullmatch(text):
        return float(whole(found[half + 1]))
    if found := BESIDE.fullmatch(text):
        return float(whole(found[1]))
    if _GROUPED.fullmatch(text):
        return float(re.sub("[^0-9]", "", text))
    return float(text) if re.fullmatch(r"[0-9]{1,15}(?:\.0*)?", text) else math.nan
