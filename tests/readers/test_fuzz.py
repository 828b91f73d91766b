"""Whatever a file holds: a table or one of metaan's errors, and nothing is written."""

import io
import json
import zipfile
from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.reviews import mixed_review
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.errors import MetaanError

openpyxl = pytest.importorskip("openpyxl")

_HEADINGS = (
    "study|Author|events|total|n|N|n/N|CR (%)|mean|sd|mean (SD)|yi|vi|sei|r|time|ai|bi|ci|di|mi|xi|Treatment events|"
    "Control events|Treatment n|Control n|events_t|OR|Analysis group|Analysis number|Study|year|o_e|o_e_variance|"
)
_TEXTS = (
    "A|Total|* note|12|12 |1,234|1.234|1,5|1.5|3/24|3/0|0/0|3 (12%)|3 (%)|33%|%|NR|-|−3|1e999|inf|nan|007|٣|½|=1+1|"
    "<5|2024-01-01|\u00a0||9999999999999999999999999999999999999999999999999999999999999999999999999999"
)
HEADINGS, TEXTS = (st.sampled_from(texts.split("|")) for texts in (_HEADINGS, _TEXTS))
CELLS = st.one_of(TEXTS, st.none(), st.integers(-5, 2000), st.floats(), st.booleans(), st.text(max_size=8))
ANY, FEW = {"max_examples": 40}, {"max_examples": 25}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def read(source, **options):
    """Read, and check that what comes out can be used and told."""
    try:
        trials = metaan.read(source, **options)
    except MetaanError:
        return None
    assert len(trials)
    assert trials.columns.is_unique
    assert str(metaan.explain(trials))
    assert json.dumps(trials.attrs["read"])
    for name in {"events", "total", "mean", "sd", "n", "yi", "vi", "sei"} & set(trials.columns):
        assert trials[name].dtype == np.float64
        assert not np.isinf(trials[name]).any()
    return trials


def from_bytes(folder, data, name):
    path = folder / name
    path.write_bytes(data)
    before = sorted(folder.rglob("*"))
    read(path)
    assert sorted(folder.rglob("*")) == before
    assert path.read_bytes() == data


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", b"PAR1", b"<", b"[", b"\xff\xfe", b"\xef\xbb\xbf", b"sep="]),
)
@settings(**ANY)
def test_bytes(folder, data, start):
    from_bytes(folder, start + data, "any.csv")


@st.composite
def tables(draw, cells):
    width = draw(st.integers(1, 6))
    row = st.lists(cells, min_size=width, max_size=width)
    above = draw(st.lists(row, max_size=2))
    return [*above, draw(st.lists(HEADINGS, min_size=width, max_size=width)), *draw(st.lists(row, max_size=5))]


@given(tables(TEXTS | st.text(max_size=6)), st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
@settings(max_examples=80)
def test_cells_of_text(folder, rows, separator, encoding):
    text = "\n".join(separator.join(row) for row in rows)
    from_bytes(folder, text.encode(encoding, "replace"), "cells.csv")


@given(tables(CELLS))
@settings(**FEW)
def test_cells_of_a_sheet(folder, rows):
    book = openpyxl.Workbook()
    for row in rows:
        try:
            book.active.append([None if isinstance(cell, float) and not np.isfinite(cell) else cell for cell in row])
        except openpyxl.utils.exceptions.IllegalCharacterError:
            return
    file = io.BytesIO()
    book.save(file)
    from_bytes(folder, file.getvalue(), "cells.xlsx")


@cache
def workbook():
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (["study", "events", "total"], ["A", 3, 24]):
        book.active.append(row)
    book.save(file)
    return file.getvalue()


@given(st.data())
@settings(**FEW)
def test_damaged_workbooks(folder, data):
    """Some bytes of some part of a workbook are others."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook())) as old, zipfile.ZipFile(made, "w") as new:
        damaged = data.draw(st.sampled_from(old.namelist()))
        for name in old.namelist():
            text = old.read(name)
            if name == damaged:
                at = data.draw(st.integers(0, len(text)))
                text = text[:at] + data.draw(st.binary(max_size=6)) + text[at + data.draw(st.integers(0, 30)) :]
            new.writestr(name, text)
    from_bytes(folder, made.getvalue(), "damaged.xlsx")


@given(tables(CELLS), st.sampled_from(["split", "records", "columns"]))
@settings(**ANY)
def test_cells_of_json(folder, rows, layout):
    names, *body = rows
    document = {"columns": names, "data": body}
    if layout == "records":
        document = [dict(zip(map(str, names), row, strict=True)) for row in body]
    elif layout == "columns":
        document = {str(name): [row[i] for row in body] for i, name in enumerate(names)}
    from_bytes(folder, json.dumps(document).encode(), "cells.json")


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HEADINGS, inner, max_size=4),
)


@given(DOCUMENTS)
@settings(**ANY)
def test_documents_of_json(folder, document):
    from_bytes(folder, json.dumps(document).encode(), "any.json")


@given(tables(CELLS))
@settings(**ANY)
def test_tables_in_memory(rows):
    names, *body = rows
    read(pd.DataFrame(body, columns=names))


@given(st.data())
@settings(**ANY)
def test_damaged_parquet(folder, data):
    file = io.BytesIO()
    pd.DataFrame({"study": ["A", "B"], "events": [3, 1], "total": [24, 12]}).to_parquet(file)
    good = file.getvalue()
    at = data.draw(st.integers(0, len(good) - 1))
    from_bytes(folder, good[:at] + data.draw(st.binary(max_size=4)) + good[at + 4 :], "damaged.parquet")


_TAGS = (
    "COCHRANE_REVIEW ANALYSES_AND_DATA COMPARISON DICH_OUTCOME DICH_SUBGROUP DICH_DATA CONT_OUTCOME CONT_DATA "
    "IV_OUTCOME IV_DATA IPD_OUTCOME IPD_DATA NAME STUDY GROUP_LABEL_1 OTHER_DATA"
)
_KEYS = "NO ID STUDY_ID EVENTS_1 TOTAL_1 EVENTS_2 TOTAL_2 MEAN_1 SD_1 ESTIMATE SE O_E VAR EFFECT_MEASURE SWAP_EVENTS"
TAGS, KEYS = (st.sampled_from(words.split()) for words in (_TAGS, _KEYS))
VALUES = st.sampled_from(
    ["1", "0", "-1", "2.5", "", "YES", "NaN", "Infinity", "1,5", "x", "STD-A_x0000_", "_xD800_", "9" * 400]
)
ELEMENTS = st.recursive(
    st.builds(lambda tag, given, text: (tag, given, [text]), TAGS,
              st.dictionaries(KEYS, VALUES, max_size=6), st.sampled_from(["", "name", "&#233;"])),
    lambda inner: st.builds(lambda tag, given, inside: (tag, given, inside), TAGS,
                            st.dictionaries(KEYS, VALUES, max_size=3), st.lists(inner, max_size=3)),
    max_leaves=12,
)  # fmt: skip


def written(element):
    if isinstance(element, str):
        return element
    tag, attributes, inside = element
    given = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{tag}{given}>{''.join(map(written, inside))}</{tag}>"


@given(st.lists(ELEMENTS, max_size=4))
@settings(max_examples=60)
def test_trees_of_a_review(folder, elements):
    from_bytes(folder, f"<COCHRANE_REVIEW>{''.join(map(written, elements))}</COCHRANE_REVIEW>".encode(), "tree.rm5")


@given(st.integers(0, 20_000), st.binary(max_size=8), st.integers(0, 40), st.sampled_from(["1.1", "1.2", "2.1", "2.2"]))
@settings(max_examples=60)
def test_damaged_reviews(folder, at, put, cut, outcome):
    text = mixed_review().encode()
    at = min(at, len(text))
    path = folder / "damaged.rm5"
    path.write_bytes(text[:at] + put + text[at + cut :])
    read(path, outcome=outcome)
