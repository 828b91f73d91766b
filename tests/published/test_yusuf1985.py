"""Yusuf, Peto, Lewis, Collins & Sleight (1985). Beta blockade during and after myocardial infarction. Prog Cardiovasc
Dis 27:335-371. doi:10.1016/s0033-0620(85)80003-7

Mortality under early oral beta blockade: Table 6 (metadat dat.yusuf1985). Printed values as quoted in metafor's
tests/testthat/test_analysis_example_yusuf1985.r.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers.grid import pairwise, values
from helpers.printed import printed

import metaan

TABLE_6 = {name: values(of) for name, of in pairwise()["stratified"]["yusuf1985_6/PETO"]["columns"].items()}
PRINTED = [printed("0.93"), printed("0.74"), printed("1.18")]


def test_peto():
    """Odds ratio of all trials; those without a death say nothing, noted."""
    res = metaan.peto(**TABLE_6)
    shown = res.back()
    assert [shown.estimate, shown.ci_low, shown.ci_high] == PRINTED
    assert "no-information" in {note.code for note in res.notes}


def test_inverse_variance():
    """The same by weighting the one-step odds ratios."""
    hit = TABLE_6["events_t"] + TABLE_6["events_c"] > 0
    eff = metaan.effect_size("PETO", **{name: of[hit] for name, of in TABLE_6.items()})
    shown = metaan.pool(eff, method="CE", test="z").back()
    assert [shown.estimate, shown.ci_low, shown.ci_high] == PRINTED
    assert pytest.approx(metaan.peto(**TABLE_6).Q) == shown.Q
    assert not np.isin("zero-cell", [note.code for note in eff.notes])
