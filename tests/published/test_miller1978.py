"""Miller (1978). The inverse of the Freeman-Tukey double arcsine transformation. Am Stat 32:138.
doi:10.1080/00031305.1978.10479283

Page 138: transformed rates of 3/11, 6/17, 10/21 and 1/6 on the paper's double scale, their variances 1/(n + 0.5),
the mean and its inverse at the harmonic mean of n. Data and values as in metafor's
tests/testthat/test_analysis_example_miller1978.r.
"""

from __future__ import annotations

from helpers.printed import printed

import metaan

EVENTS, TOTAL = [3, 6, 10, 1], [11, 17, 21, 6]


def test_transformed_rates():
    eff = metaan.effect_size("PFT", events=EVENTS, total=TOTAL)
    double = zip(["1.1391", "1.2888", "1.5253", "0.9515"], 2 * eff.yi, strict=True)
    variance = zip(["0.0870", "0.0571", "0.0465", "0.1538"], 4 * eff.vi, strict=True)
    assert all(printed(text) == value for text, value in [*double, *variance])


def test_weighted_mean_and_its_inverse():
    res = metaan.pool(metaan.effect_size("PFT", events=EVENTS, total=TOTAL), method="CE", test="z")
    assert printed("1.3093") == 2 * res.estimate
    assert printed("0.3595") == res.back().estimate
