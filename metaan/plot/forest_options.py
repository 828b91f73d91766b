"""Options of a forest plot that stand beside its rows: risk of bias, favours, reference line, bands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict

from matplotlib.colors import is_color_like, to_hex

from metaan.errors import OptionError, listed
from metaan.plot.forest_extra import closest, unknown
from metaan.plot.forest_rows import Shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Marks", "TableOptions", "add_marks", "add_rob"]

TOOLS: Final[dict[str, tuple[str, ...]]] = {
    "RoB 2": ("low", "some concerns", "high", "no information"),
    "ROBINS-I": ("low", "moderate", "serious", "critical", "no information"),
}
"""Judgements of each tool, best first."""
_SIGNS: Final = {
    "low": "+", "some concerns": "−", "moderate": "−", "high": "×", "serious": "×", "critical": "!",
    "no information": "?",
}  # fmt: skip
"""What stands in the traffic light of each judgement."""
_SHORT: Final = 3  # characters of a domain that needs no code


class Marks(TypedDict, total=False):
    """Rarely used options of `forest_table`, which describes them."""

    rob_levels: Mapping[str, str]
    favours: Sequence[str]
    reference: float
    bands: Sequence[tuple[float, float, str]]


class TableOptions(Marks, total=False):
    """Every option of `forest_table`, which `forest` and `forests` hand on."""

    sort: Any
    group: Any
    interval: str
    prediction: bool | str
    footnote: bool
    blup: bool | None
    left: Any
    right: Any
    rob: pd.DataFrame | None


def add_marks(shown: Shown, marks: Mapping[str, Any]) -> None:
    """Check the marks and write them into the attrs."""
    for name in marks:
        if name not in Marks.__annotations__:
            known = TableOptions.__annotations__
            raise OptionError(f"{name}= is not an option of a forest plot.{closest(name, known)}")
    given = {name: value for name, value in marks.items() if value is not None}
    if "favours" in given:
        shown.attrs["favours"] = _favours(given["favours"])
    if "reference" in given:
        shown.attrs["reference"] = _on_axis("reference", given["reference"], shown.scale)
    if "bands" in given:
        shown.attrs["bands"] = [_band(band, shown.scale) for band in _sequence("bands", given["bands"])]


def _sequence(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise OptionError(f"{name}={value!r} must be a list.")
    return list(value)


def _favours(value: Any) -> list[str]:
    texts = _sequence("favours", value)
    if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
        raise OptionError(f"favours={value!r} must be two texts: what lies left of no effect, and what right of it.")
    return [" ".join(text.split()) for text in texts]


def _on_axis(name: str, value: Any, scale: str) -> float:
    """A place on the axis: rates as proportions, ratios above 0."""
    try:
        place = float(value)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name}={value!r} must be a number on the scale of the axis.") from error
    if not math.isfinite(place):
        raise OptionError(f"{name}={value!r} must be a finite number.")
    if scale == "ratio" and place <= 0:
        raise OptionError(f"{name}={value!r} must be above 0 for ratios.")
    if scale == "rate" and not 0 <= place <= 1:
        hint = f" Did you mean {place / 100:g}?" if 1 < place <= 100 else ""
        raise OptionError(f"{name}={value!r} must lie between 0 and 1 for rates.{hint}")
    return place


def _band(band: Any, scale: str) -> list[float | str]:
    parts = _sequence("bands", band)
    if len(parts) != 3 or not isinstance(parts[2], str):
        raise OptionError(f"bands holds {band!r}: each band is (low, high, text).")
    low, high = (_on_axis("bands", end, scale) for end in parts[:2])
    if not low < high:
        raise OptionError(f"bands holds {band!r}: the lower end comes first.")
    return [low, high, " ".join(parts[2].split())]


def add_rob(shown: Shown, rob: Any, levels: Mapping[str, str] | None) -> list[str]:
    """Add a column for each domain of the risk of bias; return its legend."""
    if rob is None:
        if levels is not None:
            raise OptionError("rob_levels= says how the judgements of rob= look: give rob= as well.")
        return []
    judged = _judged(rob)
    labels = [str(label) for label in shown.studies["study"]]
    for label in judged.index:
        if label not in labels:
            raise unknown("rob", label, dict.fromkeys(labels), "a study of the plot")
    absent = [label for label in dict.fromkeys(labels) if label not in judged.index]
    if absent:
        raise OptionError(f"rob has no row for {listed(absent)}. Give 'no information' where nothing was judged.")
    used = _judgements(judged, None if levels is None else _own_levels(levels))
    codes = _codes([str(name) for name in judged.columns])
    for domain, code in codes.items():
        shown.studies[f"rob: {code}"] = [used[label, domain] for label in labels]
    columns = [f"rob: {code}" for code in codes.values()]
    shown.attrs["spans"] = {**shown.attrs.get("spans", {}), "Risk of bias": columns}
    if levels is not None:
        shown.attrs["rob_levels"] = {str(name): to_hex(colour) for name, colour in levels.items()}
    return [_legend(codes, set(used.values()), levels)]


def _own_levels(levels: Mapping[str, str]) -> dict[str, str]:
    """Judgements of the caller by what they are read as."""
    if not isinstance(levels, Mapping) or not levels:
        raise OptionError("rob_levels= must be a dict of judgement to colour, best first.")
    for name, colour in levels.items():
        if not is_color_like(colour):
            raise OptionError(f"rob_levels: {colour!r} of {name!r} is no colour. Give names or '#rrggbb'.")
    return {" ".join(str(name).casefold().split()): str(name) for name in levels}


def _judged(rob: Any) -> pd.DataFrame:
    """One row for each study, its label as index; one column for each domain."""
    import pandas as pd

    if not isinstance(rob, pd.DataFrame):
        raise OptionError(f"rob is a {type(rob).__name__}. Give a DataFrame: one row a study, one column a domain.")
    judged: pd.DataFrame = rob.set_index("study") if "study" in rob.columns else rob
    judged = judged.set_axis([str(label) for label in judged.index], axis=0)
    twice = judged.index[judged.index.duplicated()].unique()
    if len(twice):
        raise OptionError(f"rob has more than one row for {listed(twice)}.")
    if judged.columns.duplicated().any():
        raise OptionError(f"rob has a domain twice: {listed(judged.columns[judged.columns.duplicated()])}.")
    if judged.columns.empty:
        raise OptionError("rob has no domains: one column for each, and the studies as index or column 'study'.")
    return judged


def _judgements(judged: pd.DataFrame, own: dict[str, str] | None) -> dict[tuple[str, str], str]:
    """Judgement of each study and domain in one spelling; blank where none was made."""
    import pandas as pd

    known = list(own.values()) if own is not None else list(dict.fromkeys(j for of in TOOLS.values() for j in of))
    folded = own if own is not None else {name: name for name in known}
    made = {}
    for domain in judged.columns:
        for label, value in judged[domain].items():
            text = "" if pd.isna(value) else " ".join(str(value).replace("_", " ").split()).casefold()
            if text and text not in folded:
                raise OptionError(
                    f"rob: {value!r} ({label}, {domain}) is no judgement. Choose from {', '.join(known)}, or name your "
                    f"own by rob_levels={{judgement: colour}}.{closest(value, known)}"
                )
            made[str(label), str(domain)] = folded[text] if text else ""
    if own is None:
        _one_tool(made)
    return made


def _one_tool(made: Mapping[tuple[str, str], str]) -> None:
    """Refuse judgements of two tools side by side."""
    used = {judgement for judgement in made.values() if judgement}
    if not any(used <= set(names) for names in TOOLS.values()):
        two = "; ".join(f"{tool}: {', '.join(names)}" for tool, names in TOOLS.items())
        raise OptionError(f"rob mixes the judgements of two tools ({two}). Draw one, or name all by rob_levels=.")


def _codes(domains: Sequence[str]) -> dict[str, str]:
    """Short name of each domain: itself where it is short, else D1, D2 ..."""
    made: dict[str, str] = {}
    for i, domain in enumerate(domains, 1):
        code = domain if len(domain) <= _SHORT else "All" if domain.casefold().startswith("overall") else f"D{i}"
        while code in made.values():
            code += "'"
        made[domain] = code
    return made


def _legend(codes: Mapping[str, str], used: set[str], levels: Mapping[str, str] | None) -> str:
    """What the codes and the colours mean."""
    order = [*levels] if levels is not None else [judgement for names in TOOLS.values() for judgement in names]
    shown = [
        f"{name} ({_SIGNS.get(name.casefold(), name[:1].upper())})" for name in dict.fromkeys(order) if name in used
    ]
    domains = "; ".join(f"{code}, {domain}" for domain, code in codes.items() if code != domain)
    judged = f"judgements: {', '.join(shown)}." if shown else "nothing was judged."
    return f"Risk of bias{f' ({domains})' if domains else ''}: {judged}"
