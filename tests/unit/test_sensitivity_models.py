"""Rows of leave_one_out and cumulative equal beta_binomial, mantel_haenszel and peto of the studies in each row."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.refits import COLUMNS, codes, rows, same

import metaan
from metaan.analysis.refits import refit
from metaan.core.tables import POOLED
from metaan.errors import DataError, OptionError
from metaan.models.design import take

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]
RATES = {
    "A": (X, N),
    "one study with events": ([0, 0, 5, 0], [10, 20, 30, 15]),
    "two": ([3, 4], [10, 20]),
    "every study at an end": ([10, 0, 8, 0], [10, 10, 8, 7]),
    "wide": ([1, 9, 15, 3, 19, 2], [20] * 6),
    "single observations": ([0, 1, 1, 0, 1], [1] * 5),
    "equal": ([2, 3, 4], [20, 30, 40]),
    "no events": ([0, 0, 0], [12, 30, 9]),
}
OPTIONS = [
    *((name, {"test": "t", "ci": "wald"}) for name in RATES),
    *((name, {"test": "z", "ci": "profile", "level": 0.9}) for name in list(RATES)[1:5]),
    *((name, {"test": "z", "pi": "none"}) for name in list(RATES)[:2]),
]
OF_DATA = {"repeated-studies"}


@pytest.mark.parametrize(("name", "how"), OPTIONS)
def test_rows_are_beta_binomials_of_the_other_studies(name, how):
    x, n = map(np.array, RATES[name])
    res = metaan.beta_binomial(events=x, total=n, **how)
    tables = metaan.leave_one_out(res), metaan.cumulative(res)
    shown = metaan.leave_one_out(res.back())
    for which, i, keep in rows(res.k):
        alone = metaan.beta_binomial(events=x[keep], total=n[keep], **how)
        if res.spec.ci == "likelihood-ratio" != alone.spec.ci:
            continue  # all counts of the result are at one end, whatever was asked for
        same(tables[which].loc[i], alone, [*COLUMNS, "rho", "loglik"], 1e-9)
        assert codes(tables[which], res.effects.study[i]) == {note.code for note in alone.notes} - OF_DATA
        if which == 0:
            same(shown.loc[i], alone.back(), COLUMNS[:4], 1e-9)


TRIALS = {
    "usual": ([3, 2, 0, 5, 1, 9], [20, 30, 15, 40, 10, 50], [1, 5, 2, 3, 4, 12], [22, 28, 14, 45, 12, 48]),
    "silent": ([3, 0, 2, 10], [20, 30, 15, 10], [1, 0, 2, 9], [22, 28, 14, 9]),
    "one with events": ([0, 0, 6], [20, 30, 25], [2, 0, 1], [22, 28, 30]),
    "all or nothing": ([9, 0, 0, 4], [9, 8, 7, 9], [7, 0, 1, 2], [7, 9, 8, 9]),
}


def stratified(measure, arms):
    size = "time" if measure.startswith("I") else "total"
    given = dict(zip(("events_t", f"{size}_t", "events_c", f"{size}_c"), arms, strict=True))
    return metaan.peto(**given) if measure == "PETO" else metaan.mantel_haenszel(measure, **given)


@pytest.mark.parametrize("name", TRIALS)
@pytest.mark.parametrize("measure", [*POOLED, "PETO"])
def test_rows_are_common_effects_of_the_other_trials(name, measure):
    arms = [np.array(part) for part in TRIALS[name]]
    res = stratified(measure, arms)
    tables = metaan.leave_one_out(res), metaan.cumulative(res)
    assert not {"tau2", "tau", "pi_low", "pi_high"} & set(tables[0].columns)
    own = [int(study) - 1 for study in res.effects.study]
    for which, i, keep in rows(res.k):
        row, label = tables[which].loc[i], res.effects.study[i]
        try:
            alone = stratified(measure, [part[own][keep] for part in arms])
        except DataError:
            assert "undefined" in codes(tables[which], label)
            assert all(math.isnan(row[name]) for name in ("estimate", "se", "ci_low", "pvalue", "Q", "I2"))
            assert row["k"] == keep.sum()
            continue
        columns = [name for name in COLUMNS if name in tables[which].columns]
        same(row, alone, columns, 1e-12)
        assert "undefined" not in codes(tables[which], label)


def test_trials_without_information_have_no_row():
    res = stratified("OR", TRIALS["silent"])
    table = metaan.leave_one_out(res)
    assert list(table.study) == list(res.effects.study) == ["1", "3"]
    assert [note.studies for note in table.attrs["notes"] if note.code == "no-information"] == [("2", "4")]
    assert list(metaan.leave_one_out(stratified("RD", TRIALS["silent"])).study) == list("1234")


@pytest.mark.parametrize(
    "res",
    [
        lambda: metaan.pool(metaan.effect_size("PLO", events=X, total=N)),
        lambda: metaan.glmm("PLO", events=X, total=N),
        lambda: metaan.beta_binomial(events=X, total=N),
        lambda: stratified("OR", TRIALS["usual"]),
        lambda: stratified("PETO", TRIALS["usual"]),
    ],
    ids=["pool", "glmm", "beta-binomial", "Mantel-Haenszel", "Peto"],
)
def test_pieces_of_the_refits_are_those_of_one_call(res, monkeypatch):
    res = res()
    here = np.random.default_rng(5).random((res.k, 40)) < 0.6
    here[0] |= ~here.any(axis=0)
    whole = refit(res, here)
    monkeypatch.setattr("metaan.analysis.refits_counts.CHUNK", 3 * res.k)
    parts = refit(res, here)
    assert set(whole.columns) >= {*COLUMNS, "converged"}
    for name, column in whole.columns.items():
        assert column.shape == (40,)
        # a likelihood is searched to 1e-8 standard errors, the last step with the others of its piece
        assert parts.columns[name] == pytest.approx(column, rel=1e-8, abs=1e-9, nan_ok=True)
    for code, flag in whole.flags.items():
        assert (parts.flags[code] == flag).all()


def test_subsets_of_a_beta_binomial_meta_analysis():
    res = metaan.beta_binomial(events=X, total=N)
    here = np.random.default_rng(2).random((8, 30)) < 0.5
    here[3] = True
    many = refit(res, here)
    for i, keep in enumerate(here.T):
        part = take(res.effects, keep)
        alone = metaan.beta_binomial(events=part.events, total=part.total)
        same({name: column[i] for name, column in many.columns.items()}, alone, COLUMNS, 1e-9)


def test_ratios_of_tables_on_the_display_scale():
    res = stratified("RR", TRIALS["usual"])
    for make in (metaan.leave_one_out, metaan.cumulative):
        table, shown = make(res), make(res.back())
        for name in ("estimate", "ci_low", "ci_high"):
            assert shown[name].to_numpy() == pytest.approx(np.exp(table[name].to_numpy()), rel=1e-14, nan_ok=True)
        assert shown.se.isna().all()
        assert (shown.Q == table.Q).sum() == table.Q.notna().sum()


def test_what_to_use_for_other_models():
    rows = pd.DataFrame({"x": X, "n": N, "year": range(8), "m": [10, 22, 14, 15, 25, 15, 20, 20]})
    refused = {
        "same formula": metaan.beta_binomial(rows, events="x", total="n", formula="~ year"),
        "design_effect": metaan.clustered_binomial(rows, events="x", total="n", patients="m", icc=0.3),
    }
    for message, res in refused.items():
        for make in (metaan.leave_one_out, metaan.cumulative):
            with pytest.raises(OptionError, match=message):
                make(res)
