"""Every row of a study, with its source and address."""

import re

import pytest

from metaan import provenance
from metaan.errors import OptionError

from .conftest import FILES


def test_every_row_of_every_study_is_there(rows):
    expected = {reference["study_id"]: [] for reference in rows["references"]}
    for name in (*FILES, "prevalence", "composition"):
        for i, row in enumerate(rows[name], start=1):
            expected[row["study_id"]].append((name, i, row["source"], row["url"], row["notes"]))
    for reference in rows["references"]:
        key = reference["study_id"]
        page = provenance(key)
        columns = (page.rows[name].tolist() for name in ("file", "row", "source", "url", "notes"))
        assert [line for line in zip(*columns, strict=True) if line[0] != "spratt2014"] == expected[key]
        assert len(page.excluded) == sum(row["study_id"] == key for row in rows["excluded"])
        assert page.reference["citation"] == reference["citation"]
        text = str(page)
        assert key in text
        assert "None" not in text
        assert "<NA>" not in text
        assert not re.search(r"\bnan\b", text)
        assert all(len(line) <= 110 or "http" in line for line in text.splitlines())
        for source in page.rows["source"].unique():
            assert " ".join(source.split()) in " ".join(text.split())


def test_a_page_reads_well():
    text = str(provenance("leonard2001"))
    assert text.startswith("Leonard 2001 (leonard2001): Leonard et al. 2001, J Clin Oncol 19(21):4150-4159")
    assert "objective response per patient 8/24, printed 33.3% (inferred, low; miltefosine 17)" in text
    assert "objective response per patient no count, printed 33.3% (medium; not preferred" in text
    assert "https://doi.org/10.1200/JCO.2001.19.21.4150" in text
    assert provenance("leonard2001")._repr_html_().count("<strong>Leonard") == 1


def test_who_shares_patients():
    text = str(provenance("kis2010"))
    assert "as subset of szeged_ect_melanoma: Kis 2011 (superset)" in text
    components = str(provenance("kendler2013"))
    assert "Spratt 2014 (superset)" in components
    assert "Mang 1998" not in components  # another part of the same review is no overlap


def test_table_1_stands_beside_the_study():
    rows = provenance("campana2012").rows
    printed = rows[rows["file"] == "spratt2014"]
    assert printed[["unit", "events", "total"]].to_numpy().tolist() == [["lesion", 19, 35], ["lesion", 32, 35]]


def test_a_review_without_rows_has_a_page():
    assert provenance("byers2014").rows.empty


@pytest.mark.parametrize("key", ["leonard", "Leonard 2001", None, ["leonard2001"]])
def test_unknown_keys(key):
    with pytest.raises(OptionError, match="study_id="):
        provenance(key)


def test_the_closest_key_is_named():
    with pytest.raises(OptionError, match="Did you mean 'leonard2001'"):
        provenance("leonard2002")
