"""Rothman, Greenland & Lash (2008). Modern Epidemiology, 3rd ed., chapter 15. Lippincott Williams & Wilkins.

Stratified analysis by Mantel and Haenszel: tolbutamide (Table 15-1), smoking doctors (Table 15-2), spermicides and
Down syndrome (Table 15-5). Data and printed values as quoted in metafor's
tests/testthat/test_analysis_example_rothman2008.r, to four decimals of which the chapter prints two or three; where
that file notes a different figure in the chapter, the chapter's. Intervals are of 90 %.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.printed import printed

import metaan

TOLBUTAMIDE = {"events_t": [8, 22], "total_t": [106, 98], "events_c": [5, 16], "total_c": [120, 85]}
DOCTORS = {
    "events_t": [32, 104, 206, 186, 102], "time_t": np.array([52407, 43248, 28612, 12663, 5317]) / 10000,
    "events_c": [2, 12, 28, 28, 31], "time_c": np.array([18790, 10673, 5710, 2585, 1462]) / 10000,
}  # fmt: skip
DOWN = {"events_t": [3, 1], "total_t": [12, 4], "events_c": [104, 5], "total_c": [1163, 91]}


def agree(res, text, *, ratio=False):
    values = (res.estimate, res.ci_low, res.ci_high, res.Q, res.Q_pvalue)
    for value, number in zip(values, text.split(), strict=True):
        assert value == pytest.approx(float(number), abs=6e-5)
    assert (res.back().estimate == pytest.approx(math.exp(res.estimate))) is ratio


def test_strata():
    """Table 15-1: differences and ratios of each stratum."""
    difference = metaan.effect_size("RD", **TOLBUTAMIDE)
    np.testing.assert_allclose(difference.yi, [0.0338, 0.0363], atol=5e-5)
    np.testing.assert_allclose(np.sqrt(difference.vi), [0.0315, 0.0598], atol=5e-5)
    ratio = np.exp(metaan.effect_size("RR", **TOLBUTAMIDE).yi)
    assert [printed("1.81"), printed("1.19")] == list(ratio)


def test_risks():
    """Tolbutamide: pooled risk difference, risk ratio and odds ratio with their tests."""
    res = metaan.mantel_haenszel("RD", **TOLBUTAMIDE, level=0.90)
    assert [printed("0.035"), printed("-0.018")] == [res.estimate, res.ci_low]
    assert printed("0.088", units=1, because="0.0874 is printed as 0.088") == res.ci_high
    agree(res, "0.0349 -0.0176 0.0874 0.0017 0.9669")
    agree(metaan.mantel_haenszel("RR", **TOLBUTAMIDE, level=0.90), "0.2818 -0.1442 0.7078 0.4472 0.5037", ratio=True)
    res = metaan.mantel_haenszel("OR", **TOLBUTAMIDE, level=0.90, continuity=False)
    agree(res, "0.3387 -0.1731 0.8505 0.3474 0.5556", ratio=True)
    tests = res.tests().set_index("test")
    assert [printed("1.1914"), printed("0.2750")] == list(tests.loc["Cochran-Mantel-Haenszel", ["statistic", "pvalue"]])
    assert [printed("0.3489"), printed("0.5547")] == list(tests.loc["Tarone", ["statistic", "pvalue"]])
    shown = res.back()
    assert [printed("1.40"), printed("0.84"), printed("2.34")] == [shown.estimate, shown.ci_low, shown.ci_high]


def test_rates():
    """Doctors: pooled rate difference (per 10,000 person-years) and rate ratio."""
    agree(metaan.mantel_haenszel("IRD", **DOCTORS, level=0.90), "11.4392 6.3498 16.5286 26.8758 0.0000")
    res = metaan.mantel_haenszel("IRR", **DOCTORS, level=0.90)
    agree(res, "0.3539 0.1776 0.5303 10.4117 0.0340", ratio=True)
    assert printed("10.7021") == res.association.statistic
    assert printed("11.0162") == metaan.mantel_haenszel("IRR", **DOCTORS, continuity=False).association.statistic
    assert [printed("1.42"), printed("1.19"), printed("1.70")] == [
        res.back().estimate, res.back().ci_low, res.back().ci_high,
    ]  # fmt: skip


def test_few_events():
    """Down syndrome: 4 exposed cases in all."""
    res = metaan.mantel_haenszel("OR", **DOWN, level=0.90, continuity=False)
    agree(res, "1.3300 0.3579 2.3021 0.1378 0.7105", ratio=True)
