"""The evidence map shows its table, and its table counts each patient once."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LABELS, LONG, assert_legible, drawn

import metaan
from metaan.errors import InputError, OptionError, OverlapWarning
from metaan.evidence.once import counted_once
from metaan.names import COLUMNS
from metaan.plot import evidence_map, evidence_map_table
from metaan.plot.rows import spoken


@pytest.fixture(scope="module")
def trials():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        return [
            metaan.load("all", outcome="complete_response", unit=unit, overlaps="keep")
            for unit in ("lesion", "patient")
        ]


@pytest.fixture(scope="module")
def table(trials):
    return evidence_map_table(trials)


@pytest.fixture(scope="module")
def ax(table):
    return evidence_map(table)


def made(k, rows, columns):
    rng = np.random.default_rng(3)
    units = rng.choice(["patient", "lesion"], k)
    return pd.DataFrame(
        {
            "study": [f"S{i}" for i in range(k)], "total": rng.integers(3, 300, k), "unit": units,
            "therapy": rng.choice(rows, k), "primary_tumour": rng.choice(columns, k),
            "n_patients": rng.integers(3, 90, k),
        }
    )  # fmt: skip


def cells(table):
    return table[table["row"] == "cell"]


def test_no_patient_is_counted_twice(trials):
    frame = pd.concat(trials, ignore_index=True)
    once = counted_once(frame).set_index("study_id")
    pairs = metaan.overlaps(frame)
    linked = {*zip(pairs["study_id_a"], pairs["study_id_b"], strict=True)}
    linked |= {(b, a) for a, b in linked}
    counted = once.index[once["instead"] == ""]
    assert not any((a, b) in linked for a in counted for b in counted)
    for study, instead in once.loc[once["instead"] != "", "instead"].items():
        assert (study, instead) in linked
        assert instead in counted
        assert once.loc[study, "number"] == 0
    assert (once["instead"] != "").sum() > 10


def test_a_study_counts_with_the_largest_number_it_gives(trials):
    frame = pd.concat(trials, ignore_index=True)
    once = counted_once(frame).set_index("study_id")
    for study, rows in frame.groupby("study_id"):
        if (rows["role"] == "single").all() and once.loc[study, "instead"] == "":
            given = [*rows["n_patients"].dropna(), *rows.loc[rows["unit"] == "patient", "total"]]
            if given:
                assert once.loc[study, "number"] == max(given), study
            else:
                assert np.isnan(once.loc[study, "number"]), study
    arms = pd.DataFrame({"study": "A", "total": [10, 12], "unit": "patient", "role": ["experimental", "control"]})
    assert counted_once(arms.assign(arm=["x", "y"]))["number"].tolist() == [22.0]
    lesions = pd.DataFrame({"study": ["A", "B"], "total": [40, 12], "unit": "lesion"})
    assert counted_once(lesions, "lesions")["number"].tolist() == [40.0, 12.0]
    assert counted_once(lesions)["number"].isna().all()


def test_cells_and_sums_are_counted_anew(trials, table):
    frame = pd.concat(trials, ignore_index=True)
    for cell in cells(table).itertuples():
        same = (frame["therapy"] == cell.therapy) & (frame["primary_tumour"] == cell.primary_tumour)
        rows = frame[same & (frame["unit"] == cell.unit)]
        assert cell.studies == rows["study_id"].nunique()
        assert cell.patients == counted_once(rows)["number"].sum()
    for row in table[table["row"] == "row"].itertuples():
        rows = frame[frame["therapy"] == row.therapy]
        assert (row.studies, row.patients) == (rows["study_id"].nunique(), counted_once(rows)["number"].sum())
        assert row.patients <= cells(table).loc[cells(table)["therapy"] == row.therapy, "patients"].sum()
    whole = table[table["row"] == "all"].iloc[0]
    assert whole["studies"] == frame["study_id"].nunique()
    assert whole["patients"] == counted_once(frame)["number"].sum()
    assert "each is counted once" in table.attrs["counted"]


def test_bubbles_stand_in_their_cells_with_areas_of_patients(ax, table):
    own = cells(table)
    names = [text.get_text().replace("\n", " ") for text in ax.get_xticklabels()]
    down = [text.get_text().replace("\n", " ") for text in ax.get_yticklabels()]
    assert names[:2] == ["Melanoma", "Breast"]
    assert names[-1] == "Not stated"
    assert down[0] == "Electrochemotherapy"
    spots, shares = {}, []
    for unit, bubbles, square in zip(("lesion", "patient"), drawn(ax, "_bubbles"), (1.0, 0.785), strict=True):
        part = own[own["unit"] == unit]
        keys = zip(part["therapy"], part["primary_tumour"], part["unit"], strict=True)
        spots |= dict(zip(keys, bubbles.get_offsets(), strict=True))
        large = part["patients"].to_numpy() >= 60  # smaller ones have the least size
        shares += list(bubbles.get_sizes()[large] / square / part["patients"][large])
    np.testing.assert_allclose(shares, shares[0], rtol=1e-12)
    edges = [segment[0, 1] for segment in drawn(ax, "_rule")[0].get_segments()]
    for (therapy, tumour, unit), (x, y) in spots.items():
        column, line = names.index(spoken(tumour)), down.index(spoken(therapy))
        assert int(x) == column
        assert (x - column < 0.5) == (unit == "lesion")
        assert edges[line] < y < edges[line + 1]
    said = [text.get_text() for text in drawn(ax, "_studies")]
    assert said == [f"{cell.studies}" for cell in own.itertuples()]
    numbers = [f"{cell.patients:,}{'+' if cell.without_patients else ''}" for cell in own.itertuples()]
    assert [text.get_text() for text in drawn(ax, "_number")] == numbers
    assert "7+" in numbers


def test_gaps_are_shaded_and_counted(ax, table):
    full = cells(table).groupby(["therapy", "primary_tumour"]).ngroups
    gaps = 7 * 5 - full
    assert len(drawn(ax, "_gap")) == gaps
    said = metaan.plot.alt_text(ax)
    whole = table[table["row"] == "all"].iloc[0]
    assert said.startswith(f"Evidence map of {whole['studies']} studies with {whole['patients']:,} patients")
    assert said.endswith(f"{gaps} combinations without a study.")


def test_sums_stand_on_the_right(ax, table):
    rows = table[table["row"] == "row"].set_index("therapy")
    order = [text.get_text().replace("\n", " ") for text in ax.get_yticklabels()]
    code = {spoken(name): name for name in rows.index}
    shown = [text.get_text() for text in drawn(ax, "_column")]
    assert shown[: len(order)] == [str(rows.loc[code[name], "studies"]) for name in order]
    without = rows["without_patients"].map(lambda n: "+" if n else "")
    assert shown[len(order) :] == [f"{rows.loc[code[name], 'patients']:,}{without[code[name]]}" for name in order]
    assert not drawn(evidence_map(table, totals=False), "_column")


def test_the_table_gives_the_same_figure(trials, table, ax):
    one = evidence_map(trials)
    for a, b in zip(drawn(one, "_bubbles"), drawn(ax, "_bubbles"), strict=True):
        np.testing.assert_array_equal(a.get_offsets(), b.get_offsets())
        np.testing.assert_array_equal(a.get_sizes(), b.get_sizes())
    assert [text.get_text() for text in one.texts] == [text.get_text() for text in ax.texts]
    bare = table.copy()
    bare.attrs = {}
    for a, b in zip(drawn(evidence_map(bare), "_bubbles"), drawn(ax, "_bubbles"), strict=True):
        np.testing.assert_array_equal(a.get_offsets(), b.get_offsets())


def test_columns_are_in_the_vocabulary(table):
    assert set(table.columns) - {"therapy", "primary_tumour"} <= set(COLUMNS)


def test_other_columns_and_sizes_can_be_mapped(trials):
    ax = evidence_map(trials[1], columns="design", size="studies")
    assert_legible(ax)
    assert "RCT" in [text.get_text() for text in ax.get_xticklabels()]
    assert not drawn(ax, "_number")
    lesions = evidence_map_table(trials, size="lesions", by="")
    assert list(lesions.columns[-2:]) == ["lesions", "without_lesions"]
    assert_legible(evidence_map(lesions))


@pytest.mark.parametrize("k", [1, 3, 12, 150])
def test_it_can_be_read_at_every_size(k):
    assert_legible(evidence_map(made(k, LABELS, ["breast", "melanoma", "mixed", "other"])))


def test_long_names_and_unknown_numbers_can_be_drawn():
    frame = made(30, [LONG, "x" * 60, "日本"], ["a_b $5", LONG, "c", "D" * 20]).drop(columns="n_patients")
    ax = evidence_map(frame)
    assert_legible(ax)
    assert len(drawn(ax, "_unknown")[0].get_offsets()) > 0
    assert "?" in [text.get_text() for text in drawn(ax, "_number")]


def test_styles_themes_and_axes_of_the_caller(table):
    _, axes = plt.subplots(1, 2, figsize=(14, 6), layout="constrained")
    assert evidence_map(table, ax=axes[0], style="print") is axes[0]
    assert not axes[1].texts
    assert_legible(axes[0])
    with plt.style.context("dark_background"):
        assert_legible(evidence_map(table))
    with plt.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(evidence_map(table))


def test_what_cannot_be_mapped_is_refused(trials, table):
    with pytest.raises(InputError, match=r"Pass what metaan\.load returned"):
        evidence_map(3)
    with pytest.raises(InputError, match="lacks nowhere"):
        evidence_map_table(trials, rows="nowhere")
    with pytest.raises(OptionError, match="must be different columns"):
        evidence_map_table(trials, rows="unit")
    with pytest.raises(OptionError, match="size='area' is not known"):
        evidence_map_table(trials, size="area")
    with pytest.raises(OptionError, match=r"size choose.*evidence_map_table"):
        evidence_map(table, size="lesions")
    with pytest.raises(InputError, match="no rows"):
        evidence_map_table(trials[0].iloc[:0])
    with pytest.raises(InputError, match="no row of kind 'cell'"):
        evidence_map(table[table["row"] == "all"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"studies": np.nan}, "studies must be"),
        ({"patients": "a"}, "not a number"),
        ({"therapy": "x", "primary_tumour": "x", "unit": "x"}, "several rows"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(trials, change, said):
    table = evidence_map_table(trials)
    with pytest.raises(InputError, match=said):
        evidence_map(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused(trials):
    table = evidence_map_table(trials).copy()
    table.attrs = table.attrs | {"size": "unit"}
    with pytest.raises(InputError, match="attrs of the table"):
        evidence_map(table)


@pytest.mark.parametrize("change", [{"total": "x"}, {"total": np.inf}, {"total": 1j}, {"year": "x"}])
def test_trials_with_numbers_that_are_none_are_refused(trials, change):
    with pytest.raises(InputError, match=next(iter(change))):
        evidence_map_table(trials[0].assign(**change))


def test_a_column_that_stands_twice_and_an_ax_that_is_none_are_refused(trials):
    with pytest.raises(InputError, match="several columns 'total'"):
        evidence_map(pd.concat([trials[0], trials[0][["total"]]], axis=1))
    with pytest.raises(OptionError, match="not a matplotlib Axes"):
        evidence_map(trials, ax=3)


@pytest.mark.parametrize("option", [{"rows": 3}, {"columns": ["x"]}, {"by": np.arange(3)}, {"totals": "x"}])
def test_options_of_a_wrong_type_are_refused(trials, option):
    with pytest.raises(OptionError):
        evidence_map(trials, **option)
