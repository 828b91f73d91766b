"""leave_one_out and cumulative equal pool and glmm of the studies in each row."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from helpers.refits import COLUMNS, OF_EFFECTS, codes, rows, same

import metaan
from metaan.errors import ConvergenceError, DataError, InputError, OptionError
from metaan.models.design import take
from metaan.models.glmm import glmm_of

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]
METHODS = ["CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM", "GENQ", "DLIT", "SJIT"]


def effects(measure="PLO"):
    return metaan.effect_size(measure, events=X, total=N)


INTERVALS = {"z": "z", "t": "t", "hk": "hts", "hk-adhoc": "hk", "kr": "kr"}
EVERY_TEST = ("CE", "DL", "REML")  # and the others with Hartung-Knapp


@pytest.mark.parametrize(
    ("method", "test"),
    [
        (method, test)
        for method, test in itertools.product(METHODS, INTERVALS)
        if (method == "REML" if test == "kr" else test == "hk" or method in EVERY_TEST)
    ],
)
def test_rows_are_pools_of_the_other_studies(method, test):
    pi = INTERVALS[test]
    a = np.sqrt(N) if method == "GENQ" else None
    eff, options = effects(), {"method": method, "test": test, "pi": pi, "level": 0.9}
    res = metaan.pool(eff, weights=a, **options)
    tables = metaan.leave_one_out(res), metaan.cumulative(res)
    for which, i, keep in rows(eff.k):
        row, label = tables[which].loc[i], eff.study[i]
        try:
            alone = metaan.pool(take(eff, keep), weights=None if a is None else a[keep], **options)
        except OptionError:  # Kenward-Roger with too few degrees of freedom
            assert "no-df" in codes(tables[which], label)
            assert math.isnan(row["se"])
            continue
        same(row, alone, COLUMNS, 1e-12)
        assert codes(tables[which], label) == {note.code for note in alone.notes} - OF_EFFECTS


@pytest.mark.parametrize("measure", ["PLO", "PLN", "PR", "PAS", "PFT"])
def test_display_scale(measure):
    res = metaan.pool(effects(measure), method="DL", test="z").back()
    table = metaan.leave_one_out(res)
    for i in range(res.k):
        alone = metaan.pool(take(res.effects, np.arange(res.k) != i), method="DL", test="z").back()
        same(table.loc[i], alone, COLUMNS, 1e-12)


def test_freeman_tukey_at_another_size_is_refused():
    res = metaan.pool(effects("PFT"))
    with pytest.raises(OptionError, match="harmonic mean"):
        metaan.leave_one_out(res.back(n=20))
    assert "ft-n" in [note.code for note in metaan.leave_one_out(res.back()).attrs["notes"]]


SETS = {
    "A": (X, N),
    "one study with events": ([0, 0, 5, 0], [10, 20, 30, 15]),
    "two": ([3, 4], [10, 20]),
    "every study at an end": ([10, 0, 8, 0], [10, 10, 8, 7]),
    "wide": ([1, 9, 15, 3, 19, 2], [20] * 6),
    "single observations": ([0, 1, 1, 0, 1], [1] * 5),
    "two maxima": ([5, 400_000, 20], [10, 10**6, 30]),
    "equal": ([2, 3, 4], [20, 30, 40]),
    "no events": ([0, 0, 0], [12, 30, 9]),
}
HOW = [
    {"test": "t", "ci": "wald", "pi": "t"},
    {"test": "z", "ci": "profile", "pi": "hts"},
    {"test": "z", "nodes": 7, "pi": "simple"},
]


SEVERAL = ("equal", "two", "every study at an end")
"""Counts whose profile limits, and fits by a fixed number of nodes, are tried too."""


@pytest.mark.parametrize(
    ("name", "how"), [*((name, HOW[0]) for name in SETS), *itertools.product(SEVERAL, HOW[1:])], ids=str
)
def test_rows_are_glmms_of_the_other_studies(name, how):
    x, n = SETS[name]
    res = metaan.glmm("PLO", events=x, total=n, **how)
    tables = metaan.leave_one_out(res), metaan.cumulative(res)
    shown = metaan.leave_one_out(res.back())
    for which, i, keep in rows(res.k):
        alone = glmm_of(take(res.effects, keep), **how | {"ci": res.spec.ci if "ci" in how else "wald"} | profile(how))
        if res.spec.ci == "wald" and alone.spec.ci == "profile":
            continue  # tau of the result is held, and its interval with it
        same(tables[which].loc[i], alone, [*COLUMNS, "loglik"], 1e-7 if name == "every study at an end" else 1e-8)
        assert codes(tables[which], res.effects.study[i]) == {note.code for note in alone.notes} - OF_EFFECTS
        if which == 0:
            same(shown.loc[i], alone.back(), COLUMNS[:1], 1e-7)


def profile(how):
    return {"ci": how["ci"]} if "ci" in how else {}


OTHERS = {
    "probit": ("PLO", {"link": "probit"}, ("events", "total")),
    "cloglog": ("PLO", {"link": "cloglog"}, ("events", "total")),
    "log": ("PLN", {}, ("events", "total")),
    "poisson": ("IRLN", {}, ("events", "time")),
}


FLAT = [0, 0, 0, 0, 0, 0, 0, 3]  # without the last study there is no finite estimate


@pytest.mark.parametrize(
    ("name", "how", "x"),
    [
        *((name, HOW[0], X) for name in OTHERS),
        *((name, HOW[0], FLAT) for name in OTHERS),
        ("poisson", HOW[1], X),
    ],
)
def test_rows_under_other_links(name, how, x):
    measure, more, columns = OTHERS[name]
    res = metaan.glmm(measure, **dict(zip(columns, (x, N), strict=True)), **more, **how)
    tables = metaan.leave_one_out(res), metaan.cumulative(res)
    # a likelihood that is nearly flat: the searches end within 1e-8 standard errors, and these are less certain
    tolerance = 1e-8 if x is X else 1e-5
    for which, i, keep in rows(res.k):
        alone = glmm_of(take(res.effects, keep), **how)
        same(tables[which].loc[i], alone, [*COLUMNS, "loglik"], tolerance)
        assert codes(tables[which], res.effects.study[i]) == {note.code for note in alone.notes} - OF_EFFECTS


BOTH = {
    "events_t": [3, 2, 4, 15, 2, 6], "total_t": [20, 30, 15, 40, 10, 60],
    "events_c": [5, 9, 2, 9, 6, 3], "total_c": [22, 28, 14, 45, 12, 50],
}  # fmt: skip


@pytest.mark.parametrize(("measure", "model"), [("OR", "UM.FS"), ("OR", "UM.RS"), ("RR", "UM.FS")])
def test_likelihoods_of_both_arms(measure, model):
    trials = 3 if model == "UM.RS" else 6  # whose search is long
    res = metaan.glmm(measure, model=model, **{name: counts[:trials] for name, counts in BOTH.items()})
    table = metaan.leave_one_out(res)
    for i in range(res.k):
        alone = glmm_of(take(res.effects, np.arange(res.k) != i), model=model)
        same(table.loc[i], alone, [*COLUMNS, "loglik"], 1e-12)
        assert {"tau2-zero"} & codes(table, res.effects.study[i]) == {"tau2-zero"} & {n.code for n in alone.notes}


def test_a_row_without_a_maximum_is_empty(monkeypatch):
    res = metaan.glmm("OR", model="UM.FS", **BOTH)

    def fails_without_the_second(eff, **how):
        if "2" not in eff.study:
            raise ConvergenceError("no finite maximum")
        return glmm_of(eff, **how)

    monkeypatch.setattr("metaan.analysis.refits_counts.glmm_of", fails_without_the_second)
    table = metaan.leave_one_out(res)
    assert list(table.estimate.isna()) == [False, True, False, False, False, False]
    assert list(table.k) == [5] * 6
    assert [note.studies for note in table.attrs["notes"] if note.code == "no-maximum"] == [("2",)]


ARMS = {
    "usual": (
        [3, 2, 0, 5, 1, 9, 0],
        [20, 30, 15, 40, 10, 50, 12],
        [1, 5, 2, 3, 0, 12, 0],
        [22, 28, 14, 45, 12, 48, 13],
    ),
    "one trial with events": ([0, 0, 6], [20, 30, 25], [2, 3, 1], [22, 28, 30]),
    "single events": ([1, 0, 1], [9, 9, 9], [0, 1, 0], [9, 9, 12]),
}


CONDITIONAL = [("OR", "CM.EL"), ("OR", "CM.AL"), ("IRR", "CM.EL")]


@pytest.mark.parametrize(
    ("measure", "model", "name", "how"),
    [
        *((*one, name, HOW[0]) for one in CONDITIONAL for name in ("usual", "one trial with events")),
        ("OR", "CM.AL", "usual", HOW[1]),
        *((*one, "usual", {"test": "z", "nodes": 5}) for one in CONDITIONAL),
        ("IRR", "CM.EL", "single events", HOW[0]),
    ],
)
def test_rows_are_conditional_models_of_the_other_trials(measure, model, name, how):
    size = "total" if measure == "OR" else "time"
    columns = dict(zip(["events_t", f"{size}_t", "events_c", f"{size}_c"], ARMS[name], strict=True))
    res = metaan.glmm(measure, model=model, **how, **columns)
    tables = metaan.leave_one_out(res), metaan.cumulative(res)
    for which, i, keep in rows(res.k):
        alone = glmm_of(take(res.effects, keep), model=model, **how)
        if res.spec.ci == "wald" and alone.spec.ci == "profile":
            continue  # as above
        same(tables[which].loc[i], alone, [*COLUMNS, "loglik"], 1e-7)
        assert codes(tables[which], res.effects.study[i]) == {note.code for note in alone.notes} - OF_EFFECTS


def test_orders():
    frame = pd.DataFrame({"x": X, "n": N, "year": [1999, 1990, 2001, 1990, 1995, 2010, 2005, 1980]})
    res = metaan.pool(metaan.effect_size("PLO", frame, events="x", total="n"))
    assert list(metaan.cumulative(res).study) == list("12345678")
    assert list(metaan.cumulative(res, "year").study) == list("82451376")
    assert list(metaan.cumulative(res, frame.year).study) == list("82451376")
    assert list(metaan.cumulative(res, "year", ascending=False).study) == list("67315248")
    assert list(metaan.cumulative(res, pd.to_datetime(frame.year.astype(str))).study) == list("82451376")
    assert list(metaan.cumulative(res, positions=[7, 1, 3, 4, 0, 2, 6, 5]).study) == list("82451376")
    last = metaan.cumulative(res, "year").iloc[-1]
    assert last["estimate"] == pytest.approx(res.estimate, rel=1e-12)
    assert list(metaan.cumulative(res, "year").k) == list(range(1, 9))


def test_bad_orders():
    frame = pd.DataFrame({"x": X, "n": N, "year": [1999, np.nan, 2001, 1990, 1995, 2010, 2005, 1980]})
    res = metaan.pool(metaan.effect_size("PLO", frame, events="x", total="n"))
    with pytest.raises(DataError, match="'2'"):
        metaan.cumulative(res, "year")
    with pytest.raises(InputError, match="Columns: x, n, year"):
        metaan.cumulative(res, "yaer")
    with pytest.raises(InputError, match="3 labels for 8"):
        metaan.cumulative(res, [1, 2, 3])
    with pytest.raises(InputError, match="compared"):
        metaan.cumulative(res, [1, "a", 2, 3, 4, 5, 6, 7])
    for bad in ([0, 1], [0] * 8, np.arange(8) / 2, [[0], [1, 2]], dict.fromkeys(range(8))):
        with pytest.raises(InputError, match="once"):
            metaan.cumulative(res, positions=bad)
    for bad in (dict.fromkeys(range(8)), set(range(8)), b"12345678"):
        with pytest.raises(InputError, match="one value for each study"):
            metaan.cumulative(res, bad)
    for bad in ("no", None, 1, "descending"):
        with pytest.raises(OptionError, match="ascending"):
            metaan.cumulative(res, ascending=bad)
    with pytest.raises(OptionError, match="not both"):
        metaan.cumulative(res, "x", positions=range(8))


def test_one_study():
    res = metaan.pool(metaan.effects([0.3], [0.1]))
    with pytest.raises(InputError, match="two studies"):
        metaan.leave_one_out(res)
    assert codes(metaan.cumulative(res), "1") == {"one-study", "no-pi"}


def test_results_that_are_not_of_their_own_studies_alone():
    eff = metaan.effects([0.1, 0.5, 0.2, 0.9], [0.02, 0.03, 0.02, 0.04])
    with pytest.raises(InputError, match="DataFrame"):
        metaan.leave_one_out(pd.DataFrame())
    with pytest.raises(OptionError, match="robust"):
        metaan.leave_one_out(metaan.robust(metaan.pool(eff), cluster=[1, 1, 2, 3]))
    common = metaan.subgroups(eff, by=list("aabb"), tau2="common")
    with pytest.raises(OptionError, match="subgroups"):
        metaan.leave_one_out(common.groups["a"])
    with pytest.raises(OptionError, match="one of its groups"):
        metaan.leave_one_out(common)
    with pytest.raises(OptionError, match="without priors"):
        metaan.cumulative(metaan.bayes(events=X[1:3], total=N[1:3]))
    with pytest.raises(OptionError, match="several coefficients"):
        metaan.cumulative(metaan.multilevel(eff, "study"))


def test_bootstrap_intervals_are_left_out():
    res = metaan.pool(metaan.effects([0.1, 0.5, 0.2], [0.02, 0.03, 0.02]), pi="bootstrap", draws=200)
    table = metaan.leave_one_out(res)
    assert table["pi_low"].isna().all()
    assert "no-bootstrap" in [note.code for note in table.attrs["notes"]]
