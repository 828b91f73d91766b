"""Normand (1999). Meta-analysis: formulating, evaluating, combining, and reporting. Stat Med 18:321-359.
doi:10.1002/(SICI)1097-0258(19990215)18:3<321::AID-SIM28>3.0.CO;2-P

Length of stay after stroke, mean differences in days with a pooled standard deviation (metadat dat.normand1999).
Printed values as quoted, with page and table, in metafor's tests/testthat/test_analysis_example_normand1999.r.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers.printed import printed

import metaan

N1, M1, S1 = (np.array(x, dtype=float) for x in (
    [155, 31, 75, 18, 8, 57, 34, 110, 60], [55, 27, 64, 66, 14, 19, 52, 21, 30], [47, 7, 17, 20, 8, 7, 45, 16, 27],
))  # fmt: skip
N2, M2, S2 = (np.array(x, dtype=float) for x in (
    [156, 32, 71, 18, 13, 52, 33, 183, 52], [75, 29, 119, 137, 18, 18, 41, 31, 23], [64, 4, 29, 48, 11, 4, 34, 27, 20],
))  # fmt: skip


def stays() -> metaan.Effects:
    pooled = ((N1 - 1) * S1**2 + (N2 - 1) * S2**2) / (N1 + N2 - 2)
    return metaan.effects(M1 - M2, pooled * (1 / N1 + 1 / N2))


def test_effect_sizes():
    """Table VIII, page 351."""
    expected = ["40.59", "2.05", "15.28", "150.22", "20.19", "1.22", "95.38", "8.03", "20.69"]
    assert all(printed(text) == value for text, value in zip(expected, stays().vi, strict=True))


@pytest.mark.parametrize(
    ("method", "mean", "low", "high", "tau2"),
    [
        ("CE", "-3.49", "-5.03", "-1.96", "0.00"),
        ("DL", "-14.10", "-24.45", "-3.75", "218.72"),
        ("REML", "-15.12", "-32.67", "2.43", "685.20"),
    ],
)
def test_pooled(method, mean, low, high, tau2):
    """Table IX, page 352."""
    res = metaan.pool(stays(), method=method, test="z")
    assert printed(mean) == res.estimate
    assert printed(low) == res.ci_low
    assert printed(high) == res.ci_high
    assert printed(tau2) == res.tau2
