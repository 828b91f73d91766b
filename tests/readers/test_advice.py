"""What an error about columns advises: the set that is nearest, and no column of percentages as counts."""

import pytest

import metaan
from metaan.errors import InputError


@pytest.fixture
def refused(tmp_path):
    """Message about a table from which nothing can be pooled."""

    def message(text, **options):
        file = tmp_path / "x.csv"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            metaan.read(file, **options)
        return str(caught.value)

    return message


@pytest.mark.parametrize(
    ("heading", "cell"), [("Response rate (%)", "58.3"), ("CR", "58.3%"), ("CR, %", "58.3"), ("CR", "58 %")]
)
def test_percentages_beside_a_size_are_a_rate_without_its_counts(refused, heading, cell):
    said = refused(f'Author,n,"{heading}"\nAmes,12,{cell}\nBo,30,{cell}\n')
    assert "Sets nearest to it: one rate (events, total)" in said
    assert "Name it: columns={'events': ...}." in said
    assert f"{heading!r} holds percentages or rates, which are not counts" in said


def test_counts_with_their_percentages_are_not_called_percentages(refused):
    said = refused('Author,Pts,"CR, n (%)"\nAmes,12,7 (58%)\nBo,30,11 (37%)\n')
    assert "Name them: columns={'events': ..., 'total': ...}." in said
    assert "percentages" not in said


def test_one_letter_is_like_no_heading(refused):
    assert "Closest" not in refused("Author,n,CR\nAmes,12,x\nBo,30,y\n")


@pytest.mark.parametrize(("name", "heading"), [("events", "responders"), ("total", "patients"), ("study", "Author")])
def test_a_heading_that_is_known_need_not_be_named(refused, name, heading):
    said = refused("Author,responders,patients\nAmes,7,12\nBo,11,30\n", columns={name: "xyzzy"})
    assert said.endswith(f"{heading!r} is taken for {name} without being named.")


@pytest.mark.parametrize("heading", ["First author, year", "Author and year", "First author (year)"])
def test_author_with_year_labels_the_studies(tmp_path, heading):
    file = tmp_path / "x.csv"
    file.write_text(f'"{heading}",responders,patients\nAmes 2001,7,12\nBo 2002,11,30\n', encoding="utf-8")
    assert metaan.read(file)["study"].tolist() == ["Ames 2001", "Bo 2002"]


def test_a_spread_is_asked_for_as_standard_errors_or_as_variances(refused):
    for options in ({}, {"measure": "GEN"}):
        said = refused("study,yi,spread\nA,0.1,0.2\n", **options)
        assert "columns={'sei': ...} for standard errors, columns={'vi': ...} for variances." in said


def test_columns_under_groups_are_found_with_two_rows_of_names(refused, tmp_path):
    text = "Study,ECT,,PDT,\n,events,N,events,N\nAdams,3,20,5,21\n".replace("events", "CR")
    assert "Row 2 may name columns under groups: header=(1, 2) reads both rows." in refused(text)
    assert "'ECT CR', 'ECT N', 'PDT CR', 'PDT N'" in refused(text, header=(1, 2))
    assert "header=" not in refused("Study,ECT,PDT\nAdams,good,bad\n")


def test_small_n_of_large_n_in_each_arm(refused, tmp_path):
    text = "Study,Treatment n,Treatment N,Control n,Control N\nAdams,3,20,5,21\n"
    names = {"events_t": "Treatment n", "total_t": "Treatment N"}
    assert refused(text).endswith(f"If n of N had the event, say so: columns={names}.")
    other = {"events_c": "Control n", "total_c": "Control N"}
    assert refused(text, columns=names).endswith(f"say so: columns={other}.")
    (tmp_path / "x.csv").write_text(text)
    trials = metaan.read(tmp_path / "x.csv", columns=names | other)
    assert trials.iloc[0].tolist() == ["Adams", 3, 20, 5, 21]


def test_a_control_is_not_offered_as_the_treated_group(refused):
    said = refused("Study,control events,control N,ECT events,ECT N\nAdams,3,20,5,21\n")
    assert "If 'ECT' is the treated group: columns={'events_t': 'ECT events'" in said
