"""The timeline shows its table: rates by year, and patients that are counted once."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LABELS, LONG, assert_legible, drawn

import metaan
from metaan.errors import DataError, InputError, OptionError, OverlapWarning
from metaan.names import COLUMNS
from metaan.plot import timeline, timeline_table


@pytest.fixture(scope="module")
def trials():
    return metaan.load("all", outcome="complete_response", unit="lesion", overlaps="prefer_largest")


@pytest.fixture(scope="module")
def table(trials):
    return timeline_table(trials)


@pytest.fixture(scope="module")
def axes(trials):
    return timeline(trials)


def made(k, therapies=("a", "b"), seed=1):
    rng = np.random.default_rng(seed)
    total = rng.integers(3, 300, k)
    study = [f"{LABELS[i % len(LABELS)]} {i}" for i in range(k)]
    return pd.DataFrame(
        {
            "study": study, "total": total, "events": rng.binomial(total, 0.4), "year": rng.integers(1990, 2020, k),
            "therapy": rng.choice(list(therapies), k),
        }
    )  # fmt: skip


def test_the_table_holds_rates_intervals_and_sums(trials, table):
    study = table[table["row"] == "study"].set_index("study")
    rows = trials.set_index("study").loc[study.index]
    np.testing.assert_allclose(study["estimate"], rows["events"] / rows["total"], rtol=1e-14)
    limits = metaan.rate_interval(rows["events"].to_numpy(), rows["total"].to_numpy())
    np.testing.assert_allclose(study[["low", "high"]].to_numpy().T, limits, rtol=1e-12)
    sums = table[table["row"] == "cumulative"]
    assert sums["studies"].iloc[-1] == trials["study_id"].nunique()
    for line in sums.itertuples():
        until = trials[trials["year"] <= line.year]
        assert line.patients == until.groupby("study_id")["n_patients"].max().sum()
    assert table.attrs["without"] == trials.groupby("study_id")["n_patients"].max().isna().sum()


def test_marks_stand_where_the_table_says(axes, table):
    groups = table.attrs["groups"]
    assert len(axes) == len(groups) + 1
    study = table[table["row"] == "study"]
    totals = [study.loc[study["group"] == group, "total"].sum() for group in groups]
    assert totals == sorted(totals, reverse=True)
    for ax, group in zip(axes, groups, strict=False):
        own = study[study["group"] == group]
        (points,) = drawn(ax, "_points")
        x, y = np.asarray(points.get_offsets()).T
        np.testing.assert_array_equal(np.round(x), own["year"])
        np.testing.assert_allclose(y, own["estimate"], rtol=1e-14)
        (bars,) = drawn(ax, "_intervals")
        ends = np.array(bars.get_segments())
        np.testing.assert_array_equal(ends[:, :, 1], own[["low", "high"]])
        np.testing.assert_array_equal(ends[:, 0, 0], x)
        assert ax.get_title(loc="left").endswith(f"k = {len(own)}, n = {own['total'].sum():,.0f}")
    (line,) = drawn(axes[-1], "_sum")
    sums = table[table["row"] == "cumulative"]
    np.testing.assert_array_equal(line.get_ydata()[1:-1], sums["patients"])
    np.testing.assert_array_equal(line.get_xdata()[1:-1], sums["year"])
    assert drawn(axes[-1], "_last")[0].get_text() == f"{sums['patients'].iloc[-1]:,.0f}"


def test_columns_are_in_the_vocabulary(table):
    assert set(table.columns) <= set(COLUMNS)


def test_panels_share_the_years_and_the_rates(axes):
    assert len({ax.get_xlim() for ax in axes}) == 1
    assert len({ax.get_ylim() for ax in axes[:-1]}) == 1
    assert [ax.get_xlabel() for ax in axes] == [""] * (len(axes) - 1) + ["Year of publication"]
    assert [ax.get_ylabel() for ax in axes if ax.get_ylabel()] == ["Complete response (% of lesions)"]


def test_studies_of_one_year_stand_side_by_side():
    frame = made(6, ["a"]).assign(year=[2000, 2000, 2000, 2005, 2010, 2010])
    (points,) = drawn(timeline(frame)[0], "_points")
    x = np.sort(np.asarray(points.get_offsets())[:, 0])
    np.testing.assert_allclose(x, [1999.7, 2000, 2000.3, 2005, 2009.7, 2010.3])


def test_shared_patients_are_added_once():
    with pytest.warns(OverlapWarning):
        trials = metaan.load("intralesional", outcome="complete_response", unit="patient", overlaps="keep")
    pairs = metaan.overlaps(trials)
    table = timeline_table(trials)
    summed = trials.groupby("study_id")["n_patients"].max()
    shared = {*pairs["study_id_a"], *pairs["study_id_b"]}
    last = table[table["row"] == "cumulative"].iloc[-1]
    assert last["studies"] == len(summed)
    assert summed[~summed.index.isin(list(shared))].sum() < last["patients"] < summed.sum()


def test_the_table_gives_the_same_figure(axes, table):
    for a, b in zip(axes, timeline(table), strict=True):
        for label in ("_points", "_intervals", "_sum"):
            assert len(drawn(a, label)) == len(drawn(b, label))
        for p, q in zip(drawn(a, "_points"), drawn(b, "_points"), strict=True):
            np.testing.assert_array_equal(p.get_offsets(), q.get_offsets())
        assert [text.get_text() for text in a.texts] == [text.get_text() for text in b.texts]
        assert a.get_label() == b.get_label()
    part = table.query("group == 'photodynamic' or row == 'cumulative'")
    assert len(timeline(part)) == 2


def test_it_can_have_one_panel_and_count_lesions(trials):
    axes = timeline(trials, by="", number="lesions", ylabel="Response (%)")
    assert len(axes) == 2
    assert axes[0].get_title(loc="left") == f"k = {len(trials)}, n = {trials['total'].sum():,}"
    assert axes[1].get_title(loc="left").startswith("Cumulative lesions")
    assert axes[0].get_ylabel() == "Response (%)"
    assert_legible(axes[0])


@pytest.mark.parametrize("k", [1, 3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    axes = timeline(made(k), label=2)
    assert_legible(axes[0])
    assert axes[0].figure.get_figwidth() <= 89 / 25.4 + 0.01


def test_long_names_and_extreme_counts_can_be_drawn():
    frame = made(20, [LONG, "x" * 60, "a_b $5"])
    frame.loc[0, ["events", "total"]] = 0, 4
    frame.loc[1, ["events", "total"]] = 100000, 100000
    axes = timeline(frame)
    assert_legible(axes[0])
    assert axes[0].get_ylim() == (0, 1)
    assert_legible(timeline(made(3).assign(events=0))[0])


def test_styles_themes_and_axes_of_the_caller():
    frame = made(12)
    figure, given = plt.subplots(4, 1, figsize=(4, 9), layout="constrained")
    axes = timeline(frame, ax=given[:3], style="print")
    assert list(axes) == list(given[:3])
    assert not given[3].texts
    assert_legible(given[0])
    plt.close(figure)
    with plt.style.context("dark_background"):
        assert_legible(timeline(frame)[0])
    with plt.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(timeline(frame)[0])


def test_it_says_in_words_what_it_shows(trials, axes):
    said = [metaan.plot.alt_text(ax) for ax in axes]
    own = trials[trials["therapy"] == "electrochemotherapy"]
    start = f"Timeline of {len(own)} studies of Electrochemotherapy from {own['year'].min()} to {own['year'].max()}"
    assert said[0].startswith(start)
    assert said[-1].startswith("Patients by year, each counted once: 481 in 31 studies by 2020")


def test_what_cannot_be_drawn_is_refused(trials, table):
    with pytest.raises(InputError, match="lacks year"):
        timeline(trials.drop(columns="year"))
    with pytest.raises(DataError, match=r"'Rosso 1985'.*the year is not known"):
        timeline(trials.assign(year=trials["year"].where(trials["study"] != "Rosso 1985")))
    with pytest.raises(InputError, match="no rows"):
        timeline(trials.iloc[:0])
    with pytest.raises(InputError, match="events exceeds total"):
        timeline(made(3).assign(events=1000))
    with pytest.raises(OptionError, match="number='people' is not known"):
        timeline(trials, number="people")
    with pytest.raises(OptionError, match=r"by choose.*timeline_table"):
        timeline(table, by="year")
    with pytest.raises(OptionError, match="3 panels"):
        timeline(made(12), ax=plt.figure().add_subplot())
    with pytest.raises(InputError, match="no row of kind 'study'"):
        timeline(table.query("row == 'cumulative'"))
    patients = metaan.load("all", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    with pytest.raises(DataError, match="lesion"):
        timeline(pd.concat([trials, patients], ignore_index=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"year": np.nan}, "year must be"),
        ({"estimate": 30.0}, "estimate must be from 0 to 1"),
        ({"patients": "a"}, "not a number"),
        ({"level": None}, "level must be"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(trials, change, said):
    table = timeline_table(trials)
    with pytest.raises(InputError, match=said):
        timeline(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused(trials):
    table = timeline_table(trials).copy()
    table.attrs = table.attrs | {"groups": 3}
    with pytest.raises(InputError, match="groups"):
        timeline(table)


def test_a_number_that_is_no_year_and_a_column_that_stands_twice_are_refused(trials):
    with pytest.raises(DataError, match="is no year"):
        timeline(trials.assign(year=1e30))
    with pytest.raises(InputError, match="several columns 'total'"):
        timeline(pd.concat([trials, trials[["total"]]], axis=1))


@pytest.mark.parametrize("option", [{"by": 3}, {"by": ["x"]}, {"label": "x"}, {"label": -1}, {"ylabel": 3}])
def test_options_of_a_wrong_type_are_refused(trials, option):
    with pytest.raises(OptionError):
        timeline(trials, **option)


def test_a_table_without_its_level_or_with_a_column_twice_is_refused(table):
    with pytest.raises(InputError, match="lacks level"):
        timeline(table.drop(columns="level"))
    with pytest.raises(InputError, match="several columns"):
        timeline(pd.concat([table, table], axis=1))
