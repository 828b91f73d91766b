"""Which column of a table is which of metaan's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from metaan.errors import InputError, Note, OptionError
from metaan.readers.cells import FRACTION, tidy
from metaan.readers.grid import Grid, blank, clipped, closest, said
from metaan.readers.heading import Heading, rows_of_names
from metaan.readers.needs import KNOWN, NEEDS
from metaan.readers.vocabulary import Meaning, is_ratio, meaning, squashed, unit_of

__all__ = ["Roles", "assign", "check_columns"]

_LONGEST: Final = 60  # a cell with more characters is no number
_LABELS: Final = (
    "study",
    "study label",
    "slab",
    "studlab",
    "study name",
    "study id",
    "author year",
    "first author year",
    "author",
    "authors",
)
"""Headings of the study's label, best first."""
_UNNAMED: Final = ("", "Unnamed: 0", "...1")  # as pandas and readr call a column without a heading


@dataclass
class Roles:
    """Places of the columns: `of` by metaan's name, the rest in `beside` under their own headings.

    `of` may give two names the same place: events and total of one column of fractions.
    """

    of: dict[str, int]
    names: tuple[str, ...]
    beside: dict[str, int] = field(default_factory=dict)

    @property
    def fractions(self) -> dict[str, int]:
        """Place of each column that holds events and total together, by the name of its events."""
        return {
            name: place
            for name, place in self.of.items()
            if name.startswith("events") and self.of.get(name.replace("events", "total")) == place
        }


def check_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """Headings that the caller names, by metaan's name."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping) or not all(isinstance(text, str) for pair in columns.items() for text in pair):
        raise OptionError(
            f'columns={columns!r} must give headings by metaan\'s names: columns={{"events": "responders"}}.'
        )
    for name in columns:
        if name not in KNOWN:
            close = closest(name, KNOWN)
            hint = f" Did you mean {close!r}?" if close else ""
            raise OptionError(f"columns= does not know {name!r}. metaan's names: {', '.join(KNOWN)}.{hint}")
    asked = {name: heading.strip() for name, heading in columns.items()}
    for name, heading in asked.items():
        same = {other for other in asked if asked[other] == heading} - {name, name.replace("events", "total")}
        if same and not name.startswith("total"):
            raise OptionError(f"columns= takes {heading!r} for {name} and for {', '.join(sorted(same))}.")
    return asked


def assign(grid: Grid, heading: Heading, asked: Mapping[str, str], measure: str | None) -> Roles:
    """Give each column its name: as asked for, as it is spelled, or by what its heading says."""
    roles = Roles({name: _place(grid, heading, name, text) for name, text in asked.items()}, heading.names)
    taken = set(roles.of.values())
    lower = frozenset(name.casefold() for name in heading.names)
    found: dict[str, list[tuple[int, Meaning]]] = {}
    for place, text in enumerate(heading.names):
        known = meaning(text, lower) if text and place not in taken else None
        if known is not None:
            found.setdefault(known.role, []).append((place, known))
    _drop_lonely_arms(found, asked)
    _drop_stable_disease(found, lower)
    labels = [place for place, _ in found.pop("label", [])]
    _settle(grid, heading, roles, found, measure)
    if "study" not in roles.of:
        _other_label(grid, heading, roles, labels)
    _split(grid, heading, roles)
    _beside(grid, roles)
    _say_renamed(grid, roles, asked)
    _say_units(grid, roles)
    _say_unused(grid, roles)
    return roles


def _place(grid: Grid, heading: Heading, name: str, text: str) -> int:
    """Place of a heading that the caller named."""
    places = [place for place, given in enumerate(heading.names) if given == text]
    if not places:
        places = [place for place, given in enumerate(heading.names) if given and squashed(given) == squashed(text)]
    if len(places) == 1:
        return places[0]
    if places:
        raise InputError(f"{grid.place}: {len(places)} columns are headed {text!r}; give them different names.")
    known = [given for given in heading.names if given]
    close = closest(text, known)
    hint = f" Did you mean {close!r}?" if close else _unasked(name, known)
    raise InputError(f"{grid.place}: columns={{{name!r}: {text!r}}}, but its columns are {clipped(known)}.{hint}")


def _unasked(name: str, headings: Sequence[str]) -> str:
    """The only heading that is taken for a column without being named, for a message."""
    others = frozenset(heading.casefold() for heading in headings)
    role = f"size{name.removeprefix('total')}" if name.startswith("total") else name
    same = [heading for heading in headings if (found := meaning(heading, others)) and found.role == role]
    return f" {same[0]!r} is taken for {name} without being named." if len(same) == 1 else ""


def _drop_lonely_arms(found: dict[str, list[tuple[int, Meaning]]], asked: Mapping[str, str]) -> None:
    """A word such as "treated" means an arm only where the other arm has its column too."""
    for role in list(found):
        stem, _, arm = role.rpartition("_")
        other = f"{stem}_{'c' if arm == 't' else 't'}"
        if arm in ("t", "c") and stem:
            named = other.replace("size", "total") in asked or other.replace("size", "n") in asked
            if other not in found and not named and not found[role][0][1].literal:
                del found[role]


def _drop_stable_disease(found: dict[str, list[tuple[int, Meaning]]], lower: frozenset[str]) -> None:
    """SD beside CR, PR or PD and without a mean is stable disease."""
    if not any(role.startswith("mean") for role in found) and not lower.isdisjoint(("cr", "pr", "pd")):
        found.pop("sd", None)


def _other_label(grid: Grid, heading: Heading, roles: Roles, places: Sequence[int]) -> None:
    """A label where no heading says study: "Name", "Source", "Cohort", or texts in a first column without a heading."""
    taken = set(roles.of.values())
    if heading.names[0] in _UNNAMED and _texts_in(grid, heading, 0) > 0.5:
        places = [*places, 0]
    good = [place for place in places if place not in taken and _differ(grid, heading, place)]
    if good:
        roles.of["study"] = max(good, key=lambda place: _texts_in(grid, heading, place) > 0.5)


def _cells(grid: Grid, heading: Heading, place: int) -> list[str]:
    return [said(row[place]) for row in grid.rows[heading.last + 1 :] if not blank(row[place])]


def _texts_in(grid: Grid, heading: Heading, place: int) -> float:
    """Share of the cells of a column that have a letter."""
    cells = _cells(grid, heading, place)
    return sum(any(map(str.isalpha, cell)) for cell in cells) / max(len(cells), 1)


def _differ(grid: Grid, heading: Heading, place: int) -> bool:
    """Whether most cells of a column differ, as labels do."""
    cells = _cells(grid, heading, place)
    return len(set(cells)) > len(cells) / 2


def _settle(
    grid: Grid,
    heading: Heading,
    roles: Roles,
    found: dict[str, list[tuple[int, Meaning]]],
    measure: str | None,
) -> None:
    """One column for each role; more than one is an error, except where one is spelled as metaan spells it."""
    for role, candidates in found.items():
        if role.startswith("size"):
            continue
        best = _best(grid, heading, role, candidates, roles)
        if role.startswith("fraction"):
            arm = role[len("fraction") :]
            if f"events{arm}" not in roles.of and f"total{arm}" not in roles.of:
                roles.of |= {f"events{arm}": best, f"total{arm}": best}
        else:
            roles.of.setdefault(role, best)
    for role, candidates in found.items():
        if role.startswith("size"):
            _size(grid, heading, roles, role[len("size") :], candidates, measure)


def _split(grid: Grid, heading: Heading, roles: Roles) -> None:
    """Events whose cells are most of them 3/24 give the total too, where no other column does."""
    for name, place in list(roles.of.items()):
        total = name.replace("events", "total")
        if not name.startswith("events") or total in roles.of:
            continue
        cells = [row[place] for row in grid.rows[heading.last + 1 :] if not blank(row[place])]
        texts = [tidy(cell) for cell in cells if isinstance(cell, str) and len(cell) < _LONGEST]
        if 2 * sum(FRACTION.fullmatch(text) is not None for text in texts) > len(cells):
            roles.of[total] = place
            grid.notes.append(Note("split", f"{roles.names[place]!r} gives events and total of each study."))


def _best(grid: Grid, heading: Heading, role: str, candidates: list[tuple[int, Meaning]], roles: Roles) -> int:
    """The column of a role; a label of studies is chosen among several, a number is not."""
    if len(candidates) == 1 or role in roles.of:
        return candidates[0][0]
    if role == "study":
        return _label(grid, candidates, roles)
    literal = [place for place, known in candidates if known.literal]
    if len(literal) == 1 and roles.names[literal[0]] != "n":  # n may count events where there is N
        return literal[0]
    counts = [place for place, _ in candidates if "%" not in roles.names[place]]
    if role.startswith("events") and len(counts) == 1:
        return counts[0]
    _refuse(grid, heading, role, [place for place, _ in candidates], roles)


def _refuse(grid: Grid, heading: Heading, role: str, places: Sequence[int], roles: Roles) -> NoReturn:
    name = role.replace("size", "total").replace("fraction", "events")
    headings = [roles.names[place] for place in places]
    many = f"{len(places)} columns may be {name}: {clipped(headings)}."
    if len(set(headings)) < len(headings):
        if rows := rows_of_names(grid, heading):
            both = f"header=({rows[0]}, {rows[1]}) reads both"
            raise InputError(f"{grid.place}: {many} Row {rows[0]} above may name the groups: {both}.")
        raise InputError(f"{grid.place}: {many} Give them different names, or leave one out.")
    events, counts = name.replace("total", "events"), sorted(headings, key=lambda text: text.swapcase())
    if len({text.casefold() for text in headings}) == 1 and name.startswith("total") and events not in roles.of:
        asked = {events: counts[0], name: counts[1]}
        raise InputError(f"{grid.place}: {many} If n of N had the event, say so: columns={asked}.")
    raise InputError(f"{grid.place}: {many} Say which: columns={{{name!r}: {headings[0]!r}}}.")


def _label(grid: Grid, candidates: list[tuple[int, Meaning]], roles: Roles) -> int:
    """The column of the study's label: by its heading, texts before numbers."""

    def rank(place: int) -> tuple[bool, int]:
        text = " ".join(roles.names[place].casefold().split())
        values = [row[place] for row in grid.rows if isinstance(row[place], str) and row[place].strip()]
        words = sum(any(map(str.isalpha, value)) for value in values) > len(grid.rows) / 2
        return not words, _LABELS.index(text) if text in _LABELS else len(_LABELS)

    places = sorted((place for place, _ in candidates), key=rank)
    others = clipped([roles.names[place] for place in places[1:]])
    text = f"{roles.names[places[0]]!r} labels the studies; {others} might as well: columns={{'study': ...}} chooses."
    grid.notes.append(Note("label", text))
    return places[0]


def _size(
    grid: Grid,
    heading: Heading,
    roles: Roles,
    arm: str,
    candidates: list[tuple[int, Meaning]],
    measure: str | None,
) -> None:
    """Name a number of patients total where events are counted and n where means or correlations are given."""
    total, n = f"total{arm}", f"n{arm}"
    spelled = {roles.names[place]: place for place, _ in candidates if roles.names[place] in (total, n)}
    if total in spelled and n in spelled and len(candidates) == len(spelled):
        for name in (total, n):
            roles.of.setdefault(name, spelled[name])
        return
    if total in roles.of or n in roles.of:
        return
    place = _best(grid, heading, f"size{arm}", candidates, roles)
    events = f"events{arm}" in roles.of or f"nonevents{arm}" in roles.of
    others = [name for name in (f"mean{arm}", f"sd{arm}", f"r{arm}", "mean_post") if name in roles.of]
    if measure is not None and {total, n} & set(NEEDS[measure]):
        events, others = total in NEEDS[measure], [n] if n in NEEDS[measure] else []
    if events and others:
        raise InputError(
            f"{grid.place}: {roles.names[place]!r} may belong to events or to {others[0]}. Say which measure= is meant."
        )
    if events or others:
        roles.of[total if events else n] = place
    elif spelled:
        roles.of[roles.names[place]] = place


def _beside(grid: Grid, roles: Roles) -> None:
    """The columns without a role, under names that differ."""
    taken, used = set(roles.of.values()), set(roles.of)
    repeated = []
    for place, heading in enumerate(roles.names):
        if place in taken:
            continue
        name, number = heading or f"column {place + 1}", 2
        while name in used:
            name, number = f"{heading or 'column'} ({number})", number + 1
        if heading and name != heading:
            repeated.append(name)
        used.add(name)
        roles.beside[name] = place
    if repeated:
        text = f"Headings that are there already: the columns are called {clipped(repeated)}."
        grid.notes.append(Note("repeated-heading", text))


def _say_renamed(grid: Grid, roles: Roles, asked: Mapping[str, str]) -> None:
    """Write down which columns got other names, guessed or as asked."""
    renamed = [(roles.names[place], name) for name, place in roles.of.items() if roles.names[place] != name]
    for code, start, wanted in (("renamed", "Columns by their headings", False), ("columns", "Columns as asked", True)):
        names: dict[str, list[str]] = {}
        for heading, name in renamed:
            if (name in asked) == wanted:
                names.setdefault(heading, []).append(name)
        if names:
            told = ", ".join(
                f"{repr(heading) if heading else 'the first, which has no heading,'} is {' and '.join(found)}"
                for heading, found in names.items()
            )
            grid.notes.append(Note(code, f"{start}: {told}."))
    if "study" not in roles.of:
        text = f"No column labels the studies: they are 1, 2, ... Columns: {clipped([n for n in roles.names if n])}."
        grid.notes.append(Note("no-study", text))


def _say_units(grid: Grid, roles: Roles) -> None:
    """Events in lesions and a total in patients are no rate."""
    for arm in ("", "_t", "_c"):
        pair = [roles.names[roles.of[name]] for name in (f"events{arm}", f"total{arm}") if name in roles.of]
        units = [unit_of(heading) for heading in pair]
        if len(pair) == 2 and all(units) and units[0] != units[1]:
            text = f"{pair[0]!r} counts {units[0]} and {pair[1]!r} counts {units[1]}: their ratio is no rate of either."
            grid.notes.append(Note("mixed-units", text))


def _say_unused(grid: Grid, roles: Roles) -> None:
    """A third group beside two that are numbered is not read; a ratio that was named yi is no effect on a log scale."""
    third = {
        name: heading
        for name, place in roles.of.items()
        if name.endswith("_c") and (heading := _third(roles.names[place])) in roles.beside
    }
    if third:
        text = f"Columns of a third group are not read as an arm: {clipped(list(third.values()))}."
        grid.notes.append(Note("third-group", f"{text} It is the control with columns={third}."))
    if "yi" in roles.of and is_ratio(roles.names[roles.of["yi"]]):
        heading = roles.names[roles.of["yi"]]
        text = f"{heading!r} is taken for yi as it stands. Of a ratio the logarithm is yi, and sei is on that scale."
        grid.notes.append(Note("ratio-as-yi", text))


def _third(heading: str) -> str:
    """Heading of the third group by that of the second: events2, n2i."""
    before, two, after = heading.rpartition("2")
    return f"{before}3{after}" if two else ""
