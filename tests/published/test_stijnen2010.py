"""Stijnen, Hamza & Özdemir (2010). Random effects meta-analysis of event outcome in the framework of the
generalized linear mixed model with applications in sparse data. Stat Med 29:3046-3067. doi:10.1002/sim.4040

Table II, page 3050: catheter infections (Niel-Weise et al. 2007), rate of each group by the normal-normal and the
binomial-normal model; Table III, page 3052: odds ratio by conditional models. Tables VII and VIII, pages 3054 and
3055: bloodstream infections over catheter days (Niel-Weise et al. 2008). Data: metadat dat.nielweise2007 and 2008.
Printed values as quoted, with page and table, in metafor's tests/testthat/test_analysis_example_stijnen2010.r; where
that file notes a different figure in the paper, the paper's is used.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers.grid import conditional
from helpers.printed import printed

import metaan

STANDARD = (
    [3, 3, 9, 7, 6, 4, 3, 2, 19, 2, 7, 1, 5, 11, 0, 1, 3, 1],
    [117, 35, 195, 136, 157, 139, 177, 39, 103, 122, 64, 58, 175, 180, 105, 262, 362, 69],
)
COATED = (
    [0, 1, 2, 0, 5, 1, 1, 1, 1, 1, 0, 0, 3, 6, 0, 0, 1, 4],
    [116, 44, 208, 130, 151, 98, 174, 74, 97, 113, 66, 70, 188, 187, 118, 252, 345, 64],
)


@pytest.mark.filterwarnings("ignore::metaan.errors.ZeroCellWarning")
@pytest.mark.parametrize(
    ("group", "logit", "se", "tau2", "rate", "low", "high"),
    [
        (
            STANDARD, "-3.30", "0.24", "0.663",
            printed("0.035", units=1, because="0.03551 is printed as 0.035"), printed("0.023"),
            printed("0.056", units=1, because="the paper turns -3.30 + 1.96 x 0.24 back, both rounded"),
        ),
        (COATED, "-4.26", "0.26", "0.393", printed("0.014"), printed("0.008"), printed("0.023")),
    ],
    ids=["standard", "anti-infective"],
)  # fmt: skip
def test_normal_normal(group, logit, se, tau2, rate, low, high):
    eff = metaan.effect_size("PLO", events=group[0], total=group[1])
    res = metaan.pool(eff, method="REML", test="z")
    assert printed(logit) == res.estimate
    assert printed(se) == res.se
    assert printed(tau2) == res.tau2
    assert rate == res.back().estimate
    assert low == res.back().ci_low
    assert high == res.back().ci_high


@pytest.mark.parametrize("nodes", [7, None])
@pytest.mark.parametrize(
    ("group", "logit", "se", "tau2", "rate", "low", "high"),
    [
        (STANDARD, "-3.50", "0.26", "0.81", "0.029", "0.018", "0.048"),
        (COATED, "-4.81", "0.36", "0.83", "0.008", "0.004", "0.016"),
    ],
    ids=["standard", "anti-infective"],
)
def test_binomial_normal(group, logit, se, tau2, rate, low, high, nodes):
    res = metaan.glmm("PLO", events=group[0], total=group[1], nodes=nodes, test="z")
    assert printed(logit) == res.estimate
    assert printed(se) == res.se
    assert printed(tau2) == res.tau2
    assert printed(rate) == res.back().estimate
    assert printed(low) == res.back().ci_low
    assert printed(high) == res.back().ci_high


def test_conditional_exact_likelihood():
    arms = dict(zip(("events_t", "total_t", "events_c", "total_c"), (*COATED, *STANDARD), strict=True))
    res = metaan.glmm("OR", **arms, test="z")
    assert printed("-1.353") == res.estimate
    assert printed("0.351") == res.se
    assert printed("0.83") == res.tau
    assert printed("0.25", units=1, because="0.2584 is printed as 0.25") == res.back().estimate
    assert printed("0.13") == res.back().ci_low
    assert printed("0.51") == res.back().ci_high


def test_conditional_approximate_likelihood():
    arms = dict(zip(("events_t", "total_t", "events_c", "total_c"), (*COATED, *STANDARD), strict=True))
    res = metaan.glmm("OR", **arms, model="CM.AL", test="z")
    assert printed("-1.303") == res.estimate
    assert printed("0.339") == res.se
    assert printed("0.77", units=1, because="0.7750 is printed as 0.77") == res.tau
    assert printed("0.27") == res.back().estimate
    assert printed("0.14") == res.back().ci_low
    assert printed("0.53") == res.back().ci_high


def days():
    """Events and thousands of catheter days of both arms."""
    arms = conditional()["cases"]["nielweise2008"]["columns"]
    return {name: np.array(column) / (1000 if name.startswith("time") else 1) for name, column in arms.items()}


def test_normal_normal_over_time():
    arms = days()
    for arm, logs, tau2, rate in (
        (
            "c",
            ("1.468", "0.243"),
            "0.370",
            (
                "4.34",
                "2.70",
                printed("6.99", units=2, because="the paper turns 1.468 + 1.96 x 0.243 back, both rounded"),
            ),
        ),
        ("t", ("0.981", "0.326"), "0.639", ("2.67", "1.41", printed("5.05"))),
    ):
        eff = metaan.effect_size("IRLN", events=arms[f"events_{arm}"], time=arms[f"time_{arm}"])
        res = metaan.pool(eff, method="REML", test="z")
        assert printed(logs[0]) == res.estimate
        assert printed(logs[1]) == res.se
        assert printed(tau2) == res.tau2
        assert printed(rate[0]) == res.back().estimate
        assert printed(rate[1]) == res.back().ci_low
        assert rate[2] == res.back().ci_high


def test_rate_ratio_by_the_conditional_model():
    res = metaan.glmm("IRR", **days(), test="z")
    assert printed("-0.476") == res.estimate
    assert printed("0.238") == res.se
    assert printed("0.35") == res.tau
    assert printed("0.62") == res.back().estimate
    assert printed("0.39") == res.back().ci_low
    assert printed("0.99") == res.back().ci_high
