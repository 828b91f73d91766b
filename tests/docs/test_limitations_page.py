"""docs/limitations.md and docs/start.md: what they say of methods and numbers is so."""

import contextlib
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import ConvergenceError, DataError, OptionError

ROOT = Path(__file__).parents[2]
LIMITATIONS, START = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("limitations", "start"))
MILLION = 1_000_000
NONE = pd.DataFrame({"events": [0, 0, 10, 20], "total": [10, 20, 30, 40], "arm": ["a", "a", "b", "b"]})


def codes(res):
    return {note.code for note in res.notes}


def rates(call, total, **more):
    return call(pd.DataFrame({"events": [3, 5], "total": [total, 100]}), events="events", total="total", **more)


@pytest.mark.parametrize("call", ["glmm", "beta_binomial", "bayes"])
def test_totals_of_five_million(call):
    fit = (lambda *a, **k: metaan.glmm("PLO", *a, **k)) if call == "glmm" else getattr(metaan, call)
    with pytest.raises(DataError, match="5 million"):
        rates(fit, 5 * MILLION + 1)


def test_other_sizes():
    with pytest.raises(DataError, match="5 million"):
        metaan.categories(pd.DataFrame({"CR": [5 * MILLION, 3], "PR": [1, 4]}), columns=["CR", "PR"])
    with pytest.raises(DataError, match="a million"):
        metaan.clustered_binomial(events=[1], total=[MILLION + 1], patients=[MILLION // 2])
    with pytest.raises(DataError, match="5000 lesions"):
        metaan.clustered_binomial(events=[1], total=[10_002], patients=[2])
    arms = {"total_t": [2 * MILLION], "total_c": [2 * MILLION]}
    with pytest.raises(DataError, match="a million events"):
        metaan.glmm("OR", events_t=[MILLION], events_c=[1], **arms)
    with pytest.raises(DataError, match=r"CM\.AL"):
        metaan.glmm("OR", events_t=[450_000], events_c=[450_000], **arms)
    with pytest.raises(DataError, match="1e-90"):
        metaan.effects([1.0, 2.0], [1e-91, 1.0])


def test_incidence_rates_of_many_events():
    """Fine at tens of thousands, with a note or an error at hundreds of millions."""
    time, events = np.array([1.0, 1.2, 1.0]), np.array([10_000.0, 30_000.0, 70_000.0])
    res = metaan.glmm("IRLN", events=events, time=time)
    by_variance = metaan.pool(metaan.effects(np.log(events / time), 1 / events), method="ML", test="t")
    assert res.se == pytest.approx(by_variance.se, rel=1e-3)
    assert "not-converged" not in codes(res)
    with contextlib.suppress(ConvergenceError):
        assert "not-converged" in codes(metaan.glmm("IRLN", events=events * 1e4, time=time))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bayes_with_hardly_an_event_says_so():
    data = pd.DataFrame({"events": [0, 0, 1], "total": [4_000_000] * 3})
    assert "not-converged" in codes(metaan.bayes(data, events="events", total="total"))


def test_a_category_without_events():
    res = metaan.beta_binomial(NONE, events="events", total="total", formula="~ arm")
    assert "separated" in codes(res)
    assert np.isinf(res.estimate).all()
    assert np.isnan(res.pvalue).all()
    with pytest.raises(ConvergenceError):
        metaan.glmm("PLO", NONE, events="events", total="total", formula="~ arm")


def test_every_study_at_an_end():
    res = metaan.glmm("PLO", events=[0, 20, 0], total=[10, 20, 30])
    assert "tau2-unbounded" in codes(res)
    assert res.tau == 10


def test_few_studies():
    assert "no-pi" in codes(metaan.pool(metaan.effects([0.1, 0.5], [0.01, 0.02])))
    assert "one-study" in codes(metaan.glmm("PLO", events=[3], total=[10]))
    with pytest.raises(OptionError, match="Kenward-Roger"):
        metaan.pool(metaan.effects([0.1, 0.1, 0.1], [0.01, 1.0, 1.0]), test="kr")


def test_every_code_that_the_page_names_is_one_of_the_package():
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "metaan").rglob("*.py"))
    rows = [line.split("|")[3] for line in LIMITATIONS.splitlines() if line.count("|") == 4]
    named = {code for cell in rows for code in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", cell)}
    assert len(named) > 10
    assert not {code for code in named if f'"{code}"' not in source}


def test_every_function_that_the_pages_name_is_there():
    for name in set(re.findall(r"`metaan\.([a-z_]+)[(`]", LIMITATIONS + START)):
        assert hasattr(metaan, name), name


def test_the_paragraph_for_a_paper_has_the_numbers_of_the_result():
    table = [line.split(",") for line in re.findall(r'"(Made-up \d,\w,\d+,\d+)\\n"', START)]
    counts = pd.DataFrame(table, columns=["study", "treatment", "events", "total"]).astype(
        {"events": int, "total": int}
    )
    res = metaan.glmm("PLO", counts, events="events", total="total", study="study").back()
    mean = res.mean_rate
    without = metaan.leave_one_out(res)["estimate"]
    pairs = itertools.chain.from_iterable(
        ((res.estimate, res.ci_low, res.ci_high), (mean.estimate, mean.ci_low, mean.ci_high), (res.pi_low, res.pi_high))
    )
    whole = [f"{100 * x:.0f}" for x in (*pairs, without.min(), without.max())]
    median, low, high, of_mean, mean_low, mean_high, pi_low, pi_high, least, most = whole
    quote = " ".join(line.lstrip("> ") for line in START.splitlines() if line.startswith("> "))
    for text in (
        f"{len(counts)} studies with {counts['total'].sum()} patients".replace("7 ", "seven ", 1),
        f"{median} % (95 % CI {low} to {high} %)", f"{of_mean} % ({mean_low} to {mean_high} %)",
        f"{pi_low} to {pi_high} %", f"between {least} and {most} %", f"tau² {res.tau2:.2f}",
        f"ratio test p = {res.lrt_pvalue:.2f}", f"gave p = {metaan.harbord(res).pvalue:.2f}",
    ):  # fmt: skip
        assert text in quote
