"""References of the rows in hand, as text, BibTeX or CSL-JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, overload

import pandas as pd

from metaan.errors import DataError, InputError, listed, shown
from metaan.evidence.frames import cleaned
from metaan.evidence.store import table
from metaan.validate import Option, require_columns

__all__ = ["STYLE", "cite"]

STYLE: Final = Option(
    "style",
    {
        "text": "one paragraph for each study",
        "bibtex": "entries of a .bib file",
        "csl": "CSL-JSON items, for Zotero, pandoc and citeproc",
    },
    "text",
)

# "Cancer 35(3):756-777", "Br J Cancer 77:12", "Eur J Cancer 138"; anything else stays whole.
_VOLUME: Final = re.compile(
    r"(?P<journal>[^\d,]*[^\d,\s(]) (?P<volume>\d+)(?:\((?P<issue>[^()]+)\))?"
    r"(?::(?P<pages>[A-Za-z]*\d+(?:-[A-Za-z]*\d+)?))?"
)
_NO_JOURNAL: Final = re.compile(r"not shown|^URN:|^pages |oral presentation|chapter|handle")
_ESCAPE: Final = str.maketrans({char: f"\\{char}" for char in "&%$#_{}"} | {"~": r"\textasciitilde{}"})


@overload
def cite(trials: pd.DataFrame | Iterable[str], *, style: Literal["csl"]) -> list[dict[str, Any]]: ...
@overload
def cite(trials: pd.DataFrame | Iterable[str], *, style: Literal["text", "bibtex"] = "text") -> str: ...
def cite(
    trials: pd.DataFrame | Iterable[str], *, style: Literal["text", "bibtex", "csl"] = "text"
) -> str | list[dict[str, Any]]:
    """References of exactly the studies in hand.

    Parameters
    ----------
    trials : pandas.DataFrame or iterable of str
        Rows with a column `study_id`, e.g. from `metaan.load`, or keys of studies.
    style : {"text", "bibtex", "csl"}
        Paragraphs, a .bib file, or items of CSL-JSON.

    Returns
    -------
    str or list of dict
        Each study once, by first author and year. Where a row was read in another publication than the study's own,
        that is added, since it has to be cited as well. What the evidence base does not know (a title, an author) is
        left out.

    Raises
    ------
    InputError
        No column `study_id`, no study.
    DataError
        A study that references.csv does not have.
    OptionError
        Unknown style.

    Examples
    --------
    >>> print(cite(["clive1999"]))
    Clive et al. 1999, Cancer Chemother Pharmacol (Suppl). Miltefosine as a topical treatment for cutaneous metastases
    in breast carcinoma. doi:10.1007/s002800051114
    >>> cite(["clive1999"], style="csl")[0]["DOI"]
    '10.1007/s002800051114'
    """
    STYLE.check(style)
    records = [_record(row, seen) for row, seen in _chosen(trials)]
    if style == "csl":
        return [_csl(record) for record in records]
    return "\n".join(_text(record) for record in records) if style == "text" else "\n\n".join(map(_bibtex, records))


_Record = dict[str, str]


def _chosen(trials: object) -> list[tuple[_Record, list[str]]]:
    """Lines of references.csv, each with the other publications that its rows were read in."""
    seen: dict[str, list[str]] = {}
    if isinstance(trials, pd.DataFrame):
        require_columns(trials, ["study_id"])
        trials = cleaned(trials, texts=["study_id", "source", "source_kind"])
        seen = {key: [] for key in trials["study_id"].tolist()}
        if {"source", "source_kind"} <= set(trials.columns):
            for key, kind, source in trials[["study_id", "source_kind", "source"]].itertuples(index=False):
                if kind == "review" and source not in seen[key]:
                    seen[key].append(source)
    elif isinstance(trials, str) or not isinstance(trials, Iterable):
        raise InputError(f"trials={shown(trials)} must be a DataFrame with a column study_id, or a list of keys.")
    else:
        try:
            keys = list(trials)
        except Exception as error:
            raise InputError("trials must be a DataFrame with a column study_id, or a list of keys.") from error
        seen = {key if isinstance(key, str) else shown(key): [] for key in keys}
    if not seen:
        raise InputError("No study to cite: the frame has no rows.")
    known = {str(row["study_id"]): row for row in table("references").to_dict("records")}
    if unknown := [key for key in seen if key not in known]:
        raise DataError(f"Not among the references: {listed(unknown)}.")
    lines = [({str(name): "" if pd.isna(v) else str(v) for name, v in known[key].items()}, seen[key]) for key in seen]
    return sorted(lines, key=lambda line: (line[0]["citation"].casefold(), line[0]["study_id"]))


def _record(row: _Record, seen: list[str]) -> _Record:
    """A reference with journal, volume, issue and pages apart where they can be told."""
    place = {"journal": row["journal"], "volume": "", "issue": "", "pages": ""}
    if found := _VOLUME.fullmatch(row["journal"]):
        place |= {name: value or "" for name, value in found.groupdict().items()}
    is_journal = place["journal"] != "" and not _NO_JOURNAL.search(row["journal"])
    return row | place | {"read_in": "; ".join(seen), "is_journal": "yes" if is_journal else ""}


def _text(record: _Record) -> str:
    parts = [record["citation"], record["title"]]
    parts += [f"{name}:{record[name.casefold()]}" for name in ("doi", "PMID") if record[name.casefold()]]
    parts += [f"As given in {record['read_in']}"] if record["read_in"] else []
    return ". ".join(part.rstrip(".") for part in parts if part)


def _authors(record: _Record) -> str:
    """First author, "and others" where the citation says so."""
    others = " and others" if " et al." in record["citation"] else ""
    return f"{{{record['first_author']}}}{others}" if record["first_author"] else ""


def _bibtex(record: _Record) -> str:
    fields = {
        "author": _authors(record),
        "title": f"{{{record['title'].translate(_ESCAPE)}}}" if record["title"] else "",
        "journal" if record["is_journal"] else "howpublished": record["journal"].translate(_ESCAPE),
        "volume": record["volume"],
        "number": record["issue"].translate(_ESCAPE),
        "pages": record["pages"].replace("-", "--"),
        "year": record["year"],
        "doi": record["doi"].translate(_ESCAPE),
        "pmid": record["pmid"],
        "note": _note(record).translate(_ESCAPE),
    }
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@{'article' if record['is_journal'] else 'misc'}{{{record['study_id']},\n{body}}}"


def _note(record: _Record) -> str:
    said = [] if record["first_author"] else ["Authors not known"]
    return ". ".join(said + ([f"As given in {record['read_in']}"] if record["read_in"] else []))


def _csl(record: _Record) -> dict[str, Any]:
    names = {
        "title": "title", "journal": "container-title", "volume": "volume", "issue": "issue", "pages": "page",
        "doi": "DOI", "pmid": "PMID",
    }  # fmt: skip
    item: dict[str, Any] = {"id": record["study_id"], "type": "article-journal" if record["is_journal"] else "document"}
    item |= {csl: record[name] for name, csl in names.items() if record[name]}
    if record["first_author"]:
        others = [{"literal": "et al."}] if " et al." in record["citation"] else []
        item["author"] = [{"family": record["first_author"]}, *others]
    if record["year"]:
        item["issued"] = {"date-parts": [[int(record["year"])]]}
    if note := _note(record):
        item["note"] = note
    return item
