"""Morris (2008). Estimating effect sizes from pretest-posttest-control group designs. Organ Res Methods 11:364-386.
doi:10.1177/1094428106291059

Training effectiveness, five studies. Data and printed values as quoted, with page and table, in metafor's
tests/testthat/test_analysis_example_morris2008.r; the single arms are metafor's.
"""

from __future__ import annotations

import numpy as np
from helpers.printed import column, printed

import metaan

TREATED = {
    "mean_pre": column("30.6 23.5 0.5 53.4 35.6"), "mean_post": column("38.5 26.8 0.7 75.9 36.0"),
    "sd_pre": column("15.0 3.1 0.1 14.5 4.7"), "sd_post": column("11.6 4.1 0.1 4.4 4.6"),
    "n": column("20 50 9 10 14"), "r": column(".47 .64 .77 .89 .44"),
}  # fmt: skip
CONTROL = {
    "mean_pre": column("23.1 24.9 0.6 55.7 34.8"), "mean_post": column("19.7 25.3 0.6 60.7 33.4"),
    "sd_pre": column("13.8 4.1 0.2 17.3 3.1"), "sd_post": column("14.8 3.3 0.2 17.9 6.9"),
    "n": column("20 42 9 11 14"), "r": column(".47 .64 .77 .89 .44"),
}  # fmt: skip


def raw(arm):
    return metaan.effect_size("SMCR", **{name: values for name, values in arm.items() if name != "sd_post"})


def test_difference_of_standardised_changes():
    """Page 368, Table 1: standardised by the SD before."""
    difference = raw(TREATED).yi - raw(CONTROL).yi
    assert [printed(text) for text in ("0.74", "0.95", "1.81", "1.15", "0.51")] == list(difference)


def test_raw_score_standardisation():
    """Each arm, metafor."""
    np.testing.assert_allclose(raw(TREATED).yi, column("0.5056 1.0481 1.8054 1.4181 0.0801"), atol=5e-5)
    np.testing.assert_allclose(raw(TREATED).vi, column("0.0594 0.0254 0.2322 0.1225 0.0802"), atol=5e-5)
    np.testing.assert_allclose(raw(CONTROL).yi, column("-0.2365 0.0958 0.0000 0.2667 -0.4250"), atol=5e-5)
    np.testing.assert_allclose(raw(CONTROL).vi, column("0.0544 0.0173 0.0511 0.0232 0.0864"), atol=5e-5)


def test_change_score_standardisation():
    """Each arm, metafor."""
    treated, control = (metaan.effect_size("SMCC", **arm) for arm in (TREATED, CONTROL))
    np.testing.assert_allclose(treated.yi, column("0.5417 1.0198 2.6619 1.9088 0.0765"), atol=5e-5)
    np.testing.assert_allclose(treated.vi, column("0.0573 0.0304 0.5048 0.2822 0.0716"), atol=5e-5)
    np.testing.assert_allclose(control.yi, column("-0.2213 0.1219 0.0000 0.5575 -0.2126"), atol=5e-5)
    np.testing.assert_allclose(control.vi, column("0.0512 0.0240 0.1111 0.1050 0.0730"), atol=5e-5)
