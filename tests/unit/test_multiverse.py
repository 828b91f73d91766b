"""Multiverse of a table of counts and of effects: every row is the single fit, nothing is dropped."""

import copy
import importlib
import io
import json
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

A = pd.DataFrame({"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]})
LINK = {"PLO": "logit", "PROBIT": "probit", "CLOGLOG": "cloglog", "PLN": "log"}
NUMBERS = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high", "tau2", "I2"]


def single(row, events, total, level=0.95, pi="t"):
    """The analysis of a row by the function for one."""
    if row.model == "normal":
        eff = metaan.effect_size(row.measure, events=events, total=total, correction=row.correction)
        return metaan.pool(eff, method=row.method, test=row.test, level=level, pi=pi)
    how = {"test": row.test, "ci": "wald"} if row.test != "profile" else {"test": "t", "ci": "profile"}
    if row.model == "glmm":
        return metaan.glmm("PLO", events=events, total=total, link=LINK[row.measure], level=level, pi=pi, **how)
    return metaan.beta_binomial(events=events, total=total, level=level, **how)


def check_row(row, events, total, **options):
    res = single(row, events, total, **options)
    shown = res.back()
    expected = [getattr(shown, name) for name in NUMBERS]
    np.testing.assert_allclose([getattr(row, name) for name in NUMBERS], expected, rtol=1e-9, atol=1e-12)
    assert set(filter(None, row.notes.split(","))) == {note.code for note in res.notes}
    assert row.converged == res.convergence.converged
    assert (row.k, row.n) == (len(events), sum(total))


@pytest.mark.parametrize(
    ("events", "total"),
    [
        (A["events"], A["total"]),
        ([3, 5, 9, 9], [10, 12, 20, 9]),
        ([2, 3, 4], [20, 30, 40]),
        ([0, 0, 0], [4, 5, 6]),
        ([7, 8, 9], [7, 8, 9]),
        ([5, 0], [5, 7]),
        ([4], [9]),
    ],
    ids=["A", "one at n", "equal rates", "none", "all", "both ends", "one study"],
)
def test_every_row_is_the_single_fit(events, total):
    trials = pd.DataFrame({"events": events, "total": total})
    measures = ["PLO", "PAS", "PFT", "PR", "PLN"]
    found = metaan.multiverse(trials, measures=measures, links=list(LINK.values()), methods=["REML", "CE"])
    assert (found.table["reason"] == "").all()
    for row in found.table.itertuples():
        check_row(row, trials["events"].tolist(), trials["total"].tolist())


def test_level_and_prediction_interval_are_handed_on():
    found = metaan.multiverse(A, measures="PAS", methods="REML", links="logit", level=0.9, pi="hts")
    for row in found.table.itertuples():
        check_row(row, A["events"].tolist(), A["total"].tolist(), level=0.9, pi="hts")
    assert metaan.multiverse(A, measures="PAS", methods="DL", links="logit", pi="none").table["pi_low"].isna().all()


def test_the_combinations_are_counted_in_full():
    found = metaan.multiverse(A, methods=["REML", "DL"], tests=["z", "hk", "kr", "profile"], links=["logit", "log"])
    table = found.table
    # Normal: PLO with two corrections, PAS and PFT with none; REML has three intervals, DL two.
    assert table["model"].value_counts().to_dict() == {"normal": 4 * 5, "glmm": 2 * 2, "beta-binomial": 2}
    assert not table.duplicated(list(found.choices)).any()
    excluded = found.excluded
    assert excluded["reason"].str.contains("raw rates").sum() == 2 * 6
    assert excluded["reason"].str.contains("REML only").sum() == 4
    assert len(excluded) == 16
    assert not set(map(tuple, excluded[list(found.choices)].to_numpy())) & set(
        map(tuple, table[list(found.choices)].to_numpy())
    )


def test_an_analysis_without_an_answer_stays_with_its_reason():
    two = metaan.effects([0.0, 1.0], [0.01, 1.0])
    found = metaan.multiverse(two, methods="REML", tests=["kr", "z"])
    kr, z = found.table.set_index("test").loc["kr"], found.table.set_index("test").loc["z"]
    with pytest.raises(OptionError, match="Kenward-Roger leaves"):
        metaan.pool(two, method="REML", test="kr")
    assert "Kenward-Roger leaves too few" in kr["reason"]
    assert kr[NUMBERS].isna().all()
    assert z["reason"] == ""
    row = found.summary().iloc[0]
    assert (row["analyses"], row["failed"]) == (2, 1)
    assert "no answer: 1 analysis" in str(found)
    with pytest.raises(DataError, match="No analysis has an answer"):
        metaan.multiverse(two, methods="REML", tests="kr")


def test_effects_are_pooled_by_methods_and_tests():
    eff = metaan.effects([-0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01], measure="OR")
    found = metaan.multiverse(eff, methods=["REML", "DL", "CE"])
    assert found.scale == "ratio"
    assert "Ratio: " in str(found)
    for row in found.table.itertuples():
        shown = metaan.pool(eff, method=row.method, test=row.test).back()
        np.testing.assert_allclose(row.estimate, shown.estimate, rtol=1e-12)
        np.testing.assert_allclose([row.pi_low, row.ci_high], [shown.pi_low, shown.ci_high], rtol=1e-12)
    assert found.summary()["threshold"].tolist() == [1.0]
    for measure in ("PLO", "PFT", "PAS"):
        rates = metaan.effect_size(measure, A, events="events", total="total", correction="only0")
        table = metaan.multiverse(rates, methods="REML", tests="hk").table
        shown = metaan.pool(rates).back()
        got = table[["estimate", "ci_low", "ci_high", "pi_high", "n"]].to_numpy()[0]
        np.testing.assert_allclose(
            got, [shown.estimate, shown.ci_low, shown.ci_high, shown.pi_high, A["total"].sum()], rtol=1e-12
        )
    generic = metaan.multiverse(metaan.effects([0.1, 0.3, 0.4], [0.02, 0.05, 0.01]))
    assert generic.summary()["threshold"].tolist() == [0.0]


def test_the_summary_counts_what_the_table_holds():
    found = metaan.multiverse(A, methods="DL", tests=["z", "hk"], links="logit")
    y, low, high = (found.table[name].to_numpy() for name in ("estimate", "ci_low", "ci_high"))
    row = found.summary(threshold=0.1).iloc[0]
    assert (row["lowest"], row["median"], row["highest"]) == (y.min(), np.median(y), y.max())
    assert (row["q25"], row["q75"]) == tuple(np.quantile(y, [0.25, 0.75]))
    assert row["share_above"] == np.mean(y > 0.1)
    assert row["share_ci_above"] == np.mean(low > 0.1)
    assert row["share_ci_below"] == np.mean(high < 0.1)
    assert 0 < row["share_above"] < 1
    assert found.summary(0.02)["share_ci_above"].iloc[0] == 1
    assert found.summary(0.5)["share_ci_below"].iloc[0] == 1


def test_the_curve_is_the_table_by_estimate():
    found = metaan.multiverse(A, methods="REML", links="logit")
    curve = found.curve()
    assert curve["rank"].tolist() == list(range(1, found.analyses + 1))
    assert curve["estimate"].is_monotonic_increasing
    columns = ["estimate", "ci_low", *found.choices]
    both = (frame[columns].sort_values(columns).reset_index(drop=True) for frame in (curve, found.table))
    pd.testing.assert_frame_equal(*both, check_like=True)


def test_the_text_is_short_and_names_the_range():
    found = metaan.multiverse(A, methods="DL", links="logit")
    lines = str(found).splitlines()
    assert len(lines) <= 20
    assert lines[0].startswith(f"Multiverse of {found.analyses} analyses")
    assert f"in {found.analyses} analyses" in str(found)
    assert "Shares of analyses are no probabilities" in str(found)
    table = found.importance().set_index("choice")
    assert f"{table.index[0]} {table['share_estimate'].iloc[0]:.0f}%" in str(found)
    assert f"interactions {table.loc['interactions', 'share_estimate']:.0f}%" in str(found)
    assert repr(found) == f"<MultiverseResult: {found.analyses} analyses>"
    assert found._repr_html_().startswith("<div")


def test_records_survive_and_go_to_json():
    found = metaan.multiverse(A, methods="REML", measures="PAS")
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        pd.testing.assert_frame_equal(other.table, found.table)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(plain["analyses"]) == found.analyses
    assert plain["choices"]["model"] == list(found.choices["model"])
    frame = found.to_frame()
    frame["estimate"] = 0.0
    assert (found.table["estimate"] > 0).all()
    for table in (frame, found.excluded, found.summary(), found.importance(), found.curve()):
        assert set(table.columns) <= set(COLUMNS)
    with pytest.raises(AttributeError):
        found.level = 0.9


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        ({"measures": "PLOO"}, "Did you mean 'PLO'"),
        ({"methods": []}, "methods is empty"),
        ({"methods": "GENQ"}, "not known"),
        ({"models": "glmm", "tests": "hk"}, "defined for glmm"),
        ({"models": ["glmm", "normal"], "tests": "hk"}, "glmm has z, t, profile"),
        ({"level": 95}, "level=0.95"),
        ({"pi": "bootstrap"}, "not known"),
        ({"models": "normal", "methods": "DL", "tests": "kr"}, "can be defended"),
    ],
)
def test_impossible_questions_are_refused(ask, text):
    with pytest.raises(OptionError, match=text):
        metaan.multiverse(A, **ask)


def test_models_without_a_test_are_left_out_and_noted():
    found = metaan.multiverse(A, tests="hk")
    assert set(found.table["model"]) == {"normal"}
    assert [note.code for note in found.notes] == ["no-test"]


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="DataFrame or an Effects"):
        metaan.multiverse([1, 2])
    with pytest.raises(InputError, match="'hits' is not a column"):
        metaan.multiverse(A, events="hits")
    with pytest.raises(InputError, match=r"trials must come from metaan\.load"):
        metaan.multiverse(A, overlaps="keep")
    with pytest.raises(InputError, match="has two arms"):
        metaan.multiverse(pd.DataFrame({"events_t": [1], "total_t": [5], "events_c": [2], "total_c": [5]}))
    with pytest.raises(DataError, match="exceeds total"):
        metaan.multiverse(pd.DataFrame({"events": [3, 9], "total": [10, 5]}))
    with pytest.raises(DataError, match="one unit at a time"):
        metaan.multiverse(A.assign(unit=["lesion", "patient"] * 4))
    with pytest.raises(OptionError, match="choices for counts"):
        metaan.multiverse(metaan.effects([0.1, 0.3], [0.02, 0.05]), measures="PLO")
    with pytest.raises(OptionError, match="effects are pooled with"):
        metaan.multiverse(metaan.effects([0.1, 0.3], [0.02, 0.05]), tests="profile")
    for threshold in (True, np.inf, "half"):
        with pytest.raises(OptionError, match="finite number"):
            metaan.multiverse(A, models="glmm").summary(threshold)
    rates = metaan.effects([0.1, 0.3], [0.02, 0.05], measure="IRLN")
    found = metaan.multiverse(rates, methods="DL", tests="z")
    with pytest.raises(OptionError, match="has no usual one"):
        found.summary()
    assert "above" not in str(found)


def test_a_total_beyond_what_a_likelihood_takes_fails_alone():
    large = pd.DataFrame({"events": [30, 2_000_000], "total": [60, 6_000_000]})
    table = metaan.multiverse(large, measures="PAS", methods="DL").table
    assert (table.loc[table["model"] == "normal", "reason"] == "").all()
    assert table.loc[table["model"] != "normal", "reason"].str.contains("5 million").all()


FEW = {"models": "normal", "measures": "PAS", "methods": "DL"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("patience", "progress", "shown"), [(0, True, True), (0, False, False), (60, True, False)])
def test_a_bar_appears_on_a_terminal_when_it_takes_long(monkeypatch, patience, progress, shown):
    monkeypatch.setattr(importlib.import_module("metaan.analysis.multiverse"), "_PATIENCE", patience)
    monkeypatch.setattr("sys.stderr", Terminal())
    metaan.multiverse(A, progress=progress, **FEW)
    assert ("analyses" in sys.stderr.getvalue()) == shown


def test_no_bar_without_a_terminal(capfd):
    metaan.multiverse(A, progress=True, **FEW)
    assert capfd.readouterr().err == ""
