"""The summary of findings: what it reads off the results, what it asks, and that it judges nothing."""

import copy
import json
import math
import pickle
from html.parser import HTMLParser

import pandas as pd
import pytest

import metaan
from metaan.analysis.test_result import TestResult
from metaan.errors import InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]
ARMS = {"events_t": [12, 20, 9], "total_t": [40, 60, 30], "events_c": [5, 11, 4], "total_c": [41, 58, 33]}


@pytest.fixture(scope="module")
def rates():
    return metaan.glmm("PLO", events=X, total=N)


@pytest.fixture(scope="module")
def odds():
    return metaan.pool(metaan.effect_size("OR", **ARMS))


def test_of(k, pvalue):
    return TestResult(
        test="Egger's test", null="none", symbol="t", statistic=1.0, df=5.0, pvalue=pvalue, k=k, measure="GEN"
    )


test_of.__test__ = False


def asked(table, row=0):
    return {prompt.split("?")[0] for prompt in table.rows[row].prompts}


def test_numbers_are_those_of_the_result(rates, odds):
    table = metaan.grade_table({"Response": rates, "Toxicity": odds})
    for row, res in zip(table.rows, (rates, odds), strict=True):
        shown = res.back()
        for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "k"):
            assert getattr(row, name) == getattr(shown, name)
        assert (row.tau2, row.I2, row.level) == (res.tau2, res.I2, 0.95)
    assert [row.n for row in table.rows] == [sum(N), sum(ARMS["total_t"]) + sum(ARMS["total_c"])]
    assert [row.measure for row in table.rows] == ["PLO", "OR"]
    assert metaan.grade_table(rates.back()).rows[0].estimate == table.rows[0].estimate
    assert "median study" in table.rows[0].model


def test_units_come_from_the_rows():
    rows = pd.DataFrame({"x": X, "n": N, "unit": "lesion"})
    table = metaan.grade_table(metaan.glmm("PLO", rows, events="x", total="n"))
    assert table.rows[0].observations() == "283 lesions"
    assert metaan.grade_table(metaan.glmm("PLO", events=X, total=N)).rows[0].observations() == "283 observations"
    assert (
        metaan.grade_table(metaan.pool(metaan.effects([0.1, 0.2, 0.4], [0.1] * 3))).rows[0].observations()
        == "not known"
    )


def test_filled_studies_are_no_data():
    eff = metaan.effect_size("PFT", events=[40, 38, 30, 14, 9, 8, 5], total=[200, 180, 140, 50, 25, 20, 8])
    made = metaan.trim_and_fill(metaan.pool(eff))
    row = metaan.grade_table(made.pooled).rows[0]
    assert made.k0 > 0
    assert (row.k, row.n) == (7, 623)
    assert row.estimate == made.pooled.back().estimate
    metaan.grade_table(made.pooled, small_study=test_of(7, 0.3))


def test_two_outcomes_of_one_name(rates):
    with pytest.raises(InputError, match="same name"):
        metaan.grade_table({1: rates, "1": rates})


def test_judgements_are_the_callers(rates, odds):
    named = {"Response": rates, "Toxicity": odds}
    table = metaan.grade_table(named, risk_of_bias="serious", certainty={"Toxicity": "low"})
    assert [row.risk_of_bias for row in table.rows] == ["serious", "serious"]
    assert [row.certainty for row in table.rows] == ["", "low"]
    assert "not judgements" in table.to_markdown()
    assert "prompts" in [note.code for note in table.notes]


def test_small_study_effects(rates):
    assert metaan.grade_table(rates).rows[0].small_study == "not assessed: k < 10"
    with_test = metaan.grade_table(rates, small_study=test_of(8, 0.03))
    assert with_test.rows[0].small_study == "Egger's test: p = 0.030"
    assert "Publication bias" in asked(with_test)
    assert "too few" not in " ".join(with_test.rows[0].prompts)
    many = metaan.pool(metaan.effects([0.1 * i for i in range(12)], [0.1] * 12))
    assert metaan.grade_table(many).rows[0].small_study == "not assessed"
    assert "Publication bias" not in asked(metaan.grade_table(many, small_study=test_of(12, 0.4)))
    assert metaan.grade_table(many, small_study="funnel looked at").rows[0].small_study == "funnel looked at"


def test_several_tests_at_once():
    eff = metaan.effects([0.1, 0.3, 0.2, 0.5, 0.4, 0.8, 0.6, 0.9, 1.0, 0.7], [0.01 * i for i in range(1, 11)])
    res = metaan.pool(eff)
    found = metaan.small_study_effects(res)
    assert metaan.grade_table(res, small_study=found).rows[0].small_study.startswith(found.tests[0].test)


@pytest.mark.parametrize(
    ("y", "v", "expected"),
    [
        ([0.5, 0.52, 0.51], [1e-3] * 3, {"Publication bias"}),  # all of one mind
        ([0.1, 0.2, -0.15], [0.04] * 3, {"Publication bias", "Imprecision"}),  # no effect within
        ([0.2, 0.9, 0.5, 0.3, 1.2, 0.6], [1e-3] * 6, {"Publication bias", "Inconsistency"}),  # only in the prediction
    ],
)
def test_what_the_numbers_ask(y, v, expected):
    res = metaan.pool(metaan.effects(y, v), test="z")
    assert asked(metaan.grade_table(res)) == expected


def test_prompts_by_their_rules(rates, odds):
    shown = rates.back()
    width = shown.ci_high - shown.ci_low
    assert "Imprecision" in asked(metaan.grade_table(rates, wide=width * 0.99))
    assert "Imprecision" not in asked(metaan.grade_table(rates, wide=width * 1.01))
    spread = shown.pi_high - shown.pi_low
    assert ("Inconsistency" in asked(metaan.grade_table(rates))) == (spread >= 2 * width)
    ratio = metaan.pool(metaan.effects([-0.5, 0.6, 0.0], [0.2] * 3, measure="OR"), test="z")
    assert ratio.back().ci_low <= 0.75 < 1.25 <= ratio.back().ci_high
    assert sum("Imprecision" in prompt for prompt in metaan.grade_table(ratio).rows[0].prompts) == 2
    incidence = metaan.pool(metaan.effect_size("IRLN", events=[2, 9, 4], time=[30, 20, 40]))
    assert incidence.back().ci_high > 2 * incidence.back().ci_low
    assert "Imprecision" in asked(metaan.grade_table(incidence))


@pytest.mark.parametrize(
    "res",
    [
        metaan.pool(metaan.effects([0.3], [0.1])),
        metaan.pool(metaan.effects([0.3, 0.3], [0.1, 0.2]), method="CE", test="z"),
        metaan.mantel_haenszel("OR", **ARMS),
        metaan.peto(**ARMS),
        metaan.beta_binomial(events=X, total=N),
        metaan.glmm("PLO", events=[0, 0, 0], total=[10, 20, 30]),
        metaan.glmm("PLO", events=[20, 30], total=[20, 30]),
    ],
    ids=["one", "common", "mantel-haenszel", "peto", "beta-binomial", "none", "all"],
)
def test_every_kind_of_result(res):
    table = metaan.grade_table(res)
    row = table.rows[0]
    assert "nan" not in " ".join(row.cells())
    json.dumps(table.to_dict(), allow_nan=False)
    if math.isnan(row.pi_low):
        assert "Inconsistency" in asked(table)
        assert row.cells()[4] == "none"


class Cells(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.cells = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_exports(rates, odds):
    awkward = "A|B <script>\nalert</script> & c"
    table = metaan.grade_table({awkward: rates, "Toxicity": odds}, certainty="low")
    page = Cells()
    page.feed(table.to_html())
    assert page.open == []
    assert page.tags.count("tr") == 3
    assert page.tags.count("td") == 20
    assert "script" not in page.tags
    assert page.cells[0] == awkward.replace("\n", "")
    lines = table.to_markdown().splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines[:4]}) == 1
    assert "<script>" not in table.to_markdown()
    assert table.to_html() in table._repr_html_()
    frame = table.to_frame()
    assert set(frame.columns) <= set(COLUMNS)
    assert list(frame.outcome) == [awkward, "Toxicity"]
    assert frame.estimate[1] == odds.back().estimate
    for again in (pickle.loads(pickle.dumps(table)), copy.deepcopy(table)):
        assert again.to_html() == table.to_html()


def test_text_is_short(rates):
    table = metaan.grade_table({f"Outcome {i}": rates for i in range(12)})
    assert len(str(table).splitlines()) <= 20
    assert "more: see" in str(table)


def test_what_is_refused(rates, odds):
    for bad in ({}, {"a": "b"}, "res", {"fit": metaan.effects([0.1], [0.1])}):
        with pytest.raises(InputError):
            metaan.grade_table(bad)
    with pytest.raises(InputError, match="Outcomes: Response"):
        metaan.grade_table({"Response": rates}, certainty={"Respone": "low"})
    with pytest.raises(InputError, match="12 studies; the result has 8"):
        metaan.grade_table(rates, small_study=test_of(12, 0.1))
    with pytest.raises(InputError, match="mapping of outcomes"):
        metaan.grade_table({"a": rates, "b": odds}, small_study=test_of(8, 0.1))
    with pytest.raises(InputError, match="test result or text"):
        metaan.grade_table(rates, small_study=0.03)
    with pytest.raises(InputError, match="must be text"):
        metaan.grade_table(rates, risk_of_bias=3)
    with pytest.raises(OptionError, match="wide"):
        metaan.grade_table(rates, wide=20)
