"""What the result behind a forest table knows of its studies besides: shrunken effects, sources, citations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import OptionError
from metaan.evidence.citations import cite
from metaan.evidence.store import table as stored
from metaan.measures.record import Effects
from metaan.names import RECORD
from metaan.plot.forest_data import forest_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SOURCES", "with_sources"]

SOURCES: Final = ("source", "citation", "doi", "url")
_BLUP: Final = ("blup", "blup_low", "blup_high")
_POSITION: Final = "position in the result"


def with_sources(table: pd.DataFrame, res: Any, options: Mapping[str, Any]) -> pd.DataFrame:
    """Forest table with what a page shows on hover, as far as the result from which it was made knows it.

    Columns `source`, `url`, `citation` and `doi` come from rows of `metaan.load`, `blup` and its limits from the model.
    """
    one = next(iter(res.values())) if isinstance(res, Mapping) else res  # of several models of the same studies
    eff = getattr(getattr(one, "overall", one), "effects", None)
    if not isinstance(eff, Effects):
        return table
    again = _again(res, options, eff.k)
    again = again[again["row"] == "study"]  # with shrunken effects there may be more notes
    places = again[_POSITION].astype(int).tolist()
    known: dict[str, list[Any]] = {name: again[name].tolist() for name in _BLUP if name in again}
    known |= {name: [values[place] for place in places] for name, values in _origin(eff).items()}
    study = (table["row"] == "study").to_numpy()
    told = table.copy()
    for name in [name for name in known if name not in table.columns]:
        told[name] = math.nan if name in _BLUP else ""
        told.loc[study, name] = known[name]
    return told


def _again(res: Any, options: Mapping[str, Any], k: int) -> pd.DataFrame:
    """The same table with the place of each study in the result, and shrunken effects where the model has any."""
    asked = {**options, "left": None, "right": {_POSITION: list(range(k))}}
    try:
        return forest_table(res, **{**asked, "blup": True})
    except OptionError:
        return forest_table(res, **asked)


def _origin(eff: Effects) -> dict[str, list[str]]:
    """Sources of the rows that were pooled, and the citations of their studies."""
    data = eff.data
    if data is None or RECORD not in data.attrs or "study_id" not in data or len(data) != eff.k:
        return {}
    plain = {name: ["" if value != value else str(value) for value in data[name]] for name in SOURCES if name in data}
    return plain | _citations(data)


def _citations(data: pd.DataFrame) -> dict[str, list[str]]:
    """Reference and DOI of each row; blank for a study that was added by hand."""
    keys = data["study_id"].astype(str)
    known = data[keys.isin(stored("references")["study_id"].astype(str))]
    if known.empty:
        return {}
    items = cite(known, style="csl")
    texts = {item["id"]: text for item, text in zip(items, cite(known).splitlines(), strict=True)}
    dois = {item["id"]: str(item.get("DOI", "")) for item in items}
    return {"citation": [texts.get(key, "") for key in keys], "doi": [dois.get(key, "") for key in keys]}
