"""What is missing of a table for a measure, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from metaan.errors import InputError
from metaan.readers.arms import arms_in_rows
from metaan.readers.cells import BESIDE, FRACTION, tidy
from metaan.readers.grid import Grid, blank, clipped, closest
from metaan.readers.heading import Heading, row_below
from metaan.readers.needs import NEEDS, SETS, lacking, told
from metaan.readers.roles import Roles
from metaan.readers.vocabulary import arm_of, is_percentage, is_qualified, is_ratio, meaning, squashed

__all__ = ["complete"]

_LONGEST: Final = 60  # a cell with more characters is no number
_ALIKE: Final = 0.7
_LONG, _MANY = 80, 60  # letters of a heading, and headings, among which groups are looked for
_LIMITS: Final = re.compile(  # no piece is made of others, or a long heading would take forever
    r"(?:ci|95|lower|upper|low|high|lo|hi|lb|ub|lcl|ucl|limit|bound|conf|confidence|interval|l|u)+"
)
_GROUPED: Final = (
    ("events_t", "total_t", "events_c", "total_c"),
    ("mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c"),
    ("events_t", "time_t", "events_c", "time_c"),
)


def complete(grid: Grid, heading: Heading, roles: Roles, measure: str | None) -> None:
    """Refuse a table from which nothing can be pooled, or not the measure that is asked for."""
    present = set(roles.of)
    for arm in ("", "_t", "_c"):  # computed from the two others later
        if {f"nonevents{arm}", f"events{arm}"} <= present:
            present.add(f"total{arm}")
        elif {f"nonevents{arm}", f"total{arm}"} <= present:
            present.add(f"events{arm}")
    if {"o_e", "o_e_variance"} <= present:
        present |= {"yi", "vi"}
    if measure is not None:
        missing = lacking(NEEDS[measure], present)
        if missing:
            what = f"measure={measure!r} needs {told(NEEDS[measure])}; missing: {told(missing)}."
            raise InputError(f"{grid.place}: {what}{_advice(grid, heading, roles, missing)}")
    elif all(lacking(names, present) for names in SETS.values()):
        what = f"recognised: {', '.join(sorted(present))}" if present else "none was recognised"
        have = present | {f"total{name[1:]}" for name in ("n", "n_t", "n_c") if name in present}  # n may be a total
        have |= _sizes(roles)
        ready = 2 * bool(_of_intervals(list(roles.beside)))
        near = sorted(
            SETS.items(),
            key=lambda pair: len(lacking(pair[1], have)) - 1.5 * len(have & set(pair[1])) - ready * ("yi" in pair[1]),
        )
        sets = "; ".join(f"{kind} ({told(names)})" for kind, names in near[:4])
        raise InputError(
            f"{grid.place}: no set of columns to pool from; {what}. Sets nearest to it: {sets}."
            f"{_advice(grid, heading, roles, lacking(near[0][1], have))}"
        )


def _sizes(roles: Roles) -> set[str]:
    """Totals that are known where their events are."""
    lower = frozenset(name.casefold() for name in roles.names)
    found = (meaning(name, lower) for name in roles.beside)
    return {"total" for known in found if known and known.role == "size"}


def _advice(grid: Grid, heading: Heading, roles: Roles, missing: Sequence[str]) -> str:
    """Columns there are, the closest names, and what to do."""
    free = [name for name in roles.beside if name in roles.names]
    text = f" Columns: {clipped([name for name in roles.names if name])}."
    groups = _of_groups(free)
    below = row_below(grid, heading)
    text += (
        f" Row {below[1]} may name columns under groups: header=({below[0]}, {below[1]}) reads both rows."
        if below
        else ""
    ) or (
        _of_rows(grid, heading, roles, missing)
        or _of_fractions(grid, heading, roles, free, missing)
        or groups
        or _near(roles, free, missing)
    )
    percentages = [name for name in free if _of_shares(grid, name, roles.beside[name])]
    if percentages and any(name.startswith("events") for name in missing):
        text += (
            f" {clipped(percentages, 3)} holds percentages or rates, which are not counts: "
            "metaan.counts_from_percentage lists the counts that print so."
        )
    qualified = [name for name in free if is_qualified(name) and not is_percentage(name)]
    if qualified and not groups:
        text += (
            f" The words in brackets may make another quantity of {clipped(qualified, 3)}: columns= takes it as it is."
        )
    return text + _of_intervals(free)


def _of_rows(grid: Grid, heading: Heading, roles: Roles, missing: Sequence[str]) -> str:
    """Advice where the columns of two arms are missing since arms stand in rows."""
    if not any(name.endswith("_c") for name in missing):
        return ""
    arms = arms_in_rows(grid, roles, range(heading.last + 1, len(grid.rows)))
    return f" Arms stand in rows: {arms}. {arms.advice}" if arms else ""


def _of_fractions(grid: Grid, heading: Heading, roles: Roles, free: Sequence[str], missing: Sequence[str]) -> str:
    """Advice where columns hold events and total together, 3/44."""
    both = [name for name in free if _holds_both(grid, heading, roles.beside[name])]
    wanted = [name for name in missing if name.startswith("events")]
    if not both or not wanted or any(name.replace("events", "total") not in missing for name in wanted):
        return ""
    if len(wanted) == 1 and len(both) == 2:
        wanted = ["events_t", "events_c"]
    if len(wanted) != len(both):
        return f" Each cell of {clipped(both, 3)} holds events and total: columns={{{_pair(wanted[0], both[0])}}}."
    pairs = ", ".join(_pair(name, heading) for name, heading in zip(wanted, both, strict=True))
    which = f", if {both[0]!r} is the treated arm" if len(both) > 1 else ""
    return f" Each cell of {clipped(both, 3)} holds events and total: columns={{{pairs}}}{which}."


def _pair(name: str, heading: str) -> str:
    return f"{name!r}: {heading!r}, {name.replace('events', 'total')!r}: {heading!r}"


def _holds_both(grid: Grid, heading: Heading, place: int) -> bool:
    """Whether most cells of a column are 3/44."""
    cells = [row[place] for row in grid.rows[heading.last + 1 :] if not blank(row[place])]
    texts = [tidy(cell) for cell in cells if isinstance(cell, str) and len(cell) < _LONGEST]
    return 2 * sum(FRACTION.fullmatch(text) is not None for text in texts) > len(cells)


def _of_groups(free: Sequence[str]) -> str:
    """Advice where two groups of other names have the same columns each: "ECT events", "Surgery events"."""
    groups: dict[str, dict[str, str]] = {}
    for name in free[:_MANY]:
        tokens = name.split() if len(name) <= _LONG else []
        for cut in range(1, len(tokens)):
            halves = (" ".join(tokens[:cut]), " ".join(tokens[cut:]))
            for group, what in (halves, halves[::-1]):
                known = meaning(what, frozenset([what.casefold()]))
                if known and known.role in ("events", "size", "mean", "sd", "time"):
                    plain = re.sub(r"\s*[(\[].*", "", group) or group.strip("()[]")
                    groups.setdefault(plain.casefold(), {"": plain}).setdefault(known.role, name)
    for names in _GROUPED:
        needed = {re.sub("^(total|n)_.", "size", name).partition("_")[0] for name in names}
        full = [(group, found) for group, found in groups.items() if needed <= set(found)]
        if len(full) == 2:
            full.sort(key=lambda pair: arm_of(pair[0]) == "c")
            arms = {"t": full[0][1], "c": full[1][1]}
            pairs = ", ".join(f"{n!r}: {arms[n[-1]][re.sub('^(total|n)_', 'size_', n)[:-2]]!r}" for n in names)
            return f" If {arms['t']['']!r} is the treated group: columns={{{pairs}}}."
    return ""


def _near(roles: Roles, free: Sequence[str], missing: Sequence[str]) -> str:
    """The headings most like the names that are missing, each once, and none that means something else."""
    lower = frozenset(name.casefold() for name in roles.names)
    near: dict[str, str] = {}
    for name in missing:
        role = re.sub("^(?:total|n)(?=_|$)", "size", name)
        left = [one for one in free if one not in near.values() and not is_percentage(one) and not is_qualified(one)]
        meant = [one for one in left if (found := meaning(one, lower)) is None or found.role == role]
        if close := _closest(name, meant):
            near[name] = close
    if near:
        return f" Closest: columns={{{', '.join(f'{name!r}: {heading!r}' for name, heading in near.items())}}}."
    if "vi" in missing:
        ready = (
            f"Name {'it' if len(missing) == 1 else 'them'}: columns={{{_named(missing, 'sei')}}} for standard errors"
        )
        return f" {ready}, columns={{{_named(missing, 'vi')}}} for variances."
    what = "it" if len(missing) == 1 else "them"
    return f" Name {what}: columns={{{', '.join(f'{name!r}: ...' for name in missing)}}}."


def _named(missing: Sequence[str], spread: str) -> str:
    return ", ".join(f"{(spread if name == 'vi' else name)!r}: ..." for name in missing)


def _closest(name: str, headings: Sequence[str]) -> str | None:
    if len(name) < 3:  # every heading is like a letter or two
        return None
    by_words = {squashed(heading): heading for heading in headings}
    close = closest(squashed(name), by_words, cutoff=_ALIKE)
    return None if close is None else by_words[close]


def _of_shares(grid: Grid, name: str, place: int) -> bool:
    """Whether a column holds percentages, proportions or rates, and no counts beside them."""
    texts = [row[place] for row in grid.rows]
    cells = [tidy(text) for text in texts if isinstance(text, str) and len(text) < _LONGEST]
    if any(BESIDE.fullmatch(cell) for cell in cells):
        return False
    return is_percentage(name) or any(cell.endswith("%") for cell in cells)


def _of_intervals(free: Sequence[str]) -> str:
    """Advice where there are ratios, or limits of intervals."""
    words = [squashed(name[:200]) for name in free]
    limits = [word for word in words if _LIMITS.fullmatch(word) and word != "95"]
    if any(is_ratio(name) for name in free):
        return " A ratio is no yi: its logarithm is; metaan.se_from_ci gives the standard error from an interval."
    if len(limits) > 1 or any("ci" in word for word in limits):
        return " metaan.se_from_ci gives the standard error from the limits of an interval."
    return ""
