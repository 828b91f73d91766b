"""References of exactly the rows in hand, in three styles."""

import re

import pytest
from helpers.evidence import load_keeping as load

from metaan import cite
from metaan.errors import DataError, InputError, OptionError


@pytest.fixture(scope="module")
def keys(rows):
    return [row["study_id"] for row in rows["references"]]


def entries(text):
    """A strict reading of BibTeX: balanced braces, one field a line."""
    found = {}
    for block in text.split("\n\n"):
        kind, key = re.match(r"@(article|misc)\{([\w-]+),\n", block).groups()
        assert block.endswith("\n}")
        fields = {}
        for line in block.splitlines()[1:-1]:
            name, value = re.fullmatch(r"  (\w+) = \{(.*)\},", line).groups()
            depth = 0
            for char in re.sub(r"\\[{}]", "", value):
                depth += (char == "{") - (char == "}")
                assert depth >= 0
            assert depth == 0
            assert not re.search(r"(?<!\\)[&%$#_]", value), (key, name, value)
            fields[name] = value
        assert key not in found
        found[key] = kind, fields
    return found


def test_every_reference_in_every_style(keys, rows):
    known = {row["study_id"]: row for row in rows["references"]}
    found, items = entries(cite(keys, style="bibtex")), cite(keys, style="csl")
    assert set(found) == set(keys) == {item["id"] for item in items}
    assert len(cite(keys).splitlines()) == len(keys) == len(items)
    for item in items:
        row = known[item["id"]]
        kind, fields = found[item["id"]]
        assert item.get("DOI", "") == row["doi"] == fields.get("doi", "").replace("\\", "")
        assert item.get("PMID", "") == row["pmid"]
        assert item.get("title", "") == row["title"]
        assert item.get("issued", {"date-parts": [[""]]})["date-parts"][0][0] == (
            int(row["year"]) if row["year"] else ""
        )
        assert (item["type"] == "article-journal") == (kind == "article")
        assert item["author"][0] == {"family": row["first_author"]} if row["first_author"] else "author" not in item
        # journal, volume, issue and pages put together are the journal of the table again
        whole = item.get("container-title", "")
        whole += f" {item['volume']}" if "volume" in item else ""
        whole += f"({item['issue']})" if "issue" in item else ""
        whole += f":{item['page']}" if "page" in item else ""
        assert whole == row["journal"]


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("adams2012", ("Clin Cancer Res", "18", "24", "6748-6757")),
        ("benevento2012", ("BMC Surg", "12", "Suppl 1", "S6")),
        ("caraco2013", ("BMC Cancer", "13", None, "564")),
        ("belehradek1993", ("Cancer", None, None, None)),
    ],
)
def test_places_are_told_apart(key, parts):
    item = cite([key], style="csl")[0]
    assert tuple(item.get(name) for name in ("container-title", "volume", "issue", "page")) == parts


def test_exactly_the_rows_in_hand():
    trials = load("electrochemotherapy", outcome="complete_response", unit="lesion")
    assert {item["id"] for item in cite(trials, style="csl")} == set(trials["study_id"])
    assert len(cite(trials.head(1)).splitlines()) == 1
    twice = load("radiotherapy", outcome="complete_response", unit="patient", site="any", role="any")
    assert len(cite(twice).splitlines()) == twice["study_id"].nunique() < len(twice)


def test_where_the_number_was_read():
    trials = load("electrochemotherapy", outcome="complete_response", unit="lesion")
    read = trials[trials["source_kind"] == "review"]
    text = cite(trials).splitlines()
    assert sum("As given in" in line for line in text) == read["study_id"].nunique() > 0
    assert "As given in Spratt 2014 (J Clin Oncol 32:3144-55), Table 1" in cite(read[read["study_id"] == "kendler2013"])


def test_order_and_determinism(keys):
    assert cite(keys) == cite(reversed(keys))
    few = cite(["veverka2018", "adams2012", "li2010"], style="csl")
    assert [item["id"] for item in few] == ["adams2012", "li2010", "veverka2018"]


@pytest.mark.parametrize(
    ("trials", "options", "error", "message"),
    [
        (["leonard2001"], {"style": "apa"}, OptionError, "style='apa' is not known"),
        (["leonard2999"], {}, DataError, "Not among the references: 'leonard2999'"),
        ([], {}, InputError, "No study"),
        ("leonard2001", {}, InputError, "list of keys"),
        (7, {}, InputError, "list of keys"),
    ],
)
def test_bad_requests(trials, options, error, message):
    with pytest.raises(error, match=message):
        cite(trials, **options)


def test_a_frame_needs_its_keys():
    with pytest.raises(InputError, match="lacks study_id"):
        cite(load("miltefosine", outcome="objective_response").drop(columns="study_id"))
