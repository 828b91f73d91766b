"""Thirty-seven studies of passive smoking and lung cancer (Hackshaw, Law & Wald 1997; metadat's dat.hackshaw1998), as
adjusted for publication bias by

- Copas & Shi (2000). BMJ 320:417-418. doi:10.1136/bmj.320.7232.417, abstract: an excess risk of 24 %, which falls to
  15 % if only 60 % of the studies have been included;
- the letter "Revisiting evidence on lung cancer and passive smoking: adjustment for publication bias by means of trim
  and fill" (2006). Lung Cancer 51:245-246. doi:10.1016/j.lungcan.2005.11.004, abstract: 7 studies filled, a relative
  risk of 1.19 (1.08 to 1.31), an excess risk that falls from 24 to 19 %.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from helpers.printed import printed
from scipy.optimize import brentq

import metaan

GRID = json.loads((Path(__file__).parents[1] / "reference" / "trimfill_grid.json").read_text())
STUDIES = GRID["cells"]["hackshaw1998"]


@pytest.fixture(scope="module")
def res():
    return metaan.pool(metaan.effects(STUDIES["yi"], STUDIES["vi"], measure="OR"), method="DL", test="z")


def excess(log_risk):
    return 100 * (math.exp(log_risk) - 1)


def test_copas_and_shi(res):
    def row(published):
        made = metaan.copas(res, published=[published], gamma0=[0], gamma1=[0])
        return {name: float(value[0]) for name, value in made.rows.items()}

    def included(published):
        return res.k / (res.k + row(published)["unpublished"])

    assert excess(row(1.0)["estimate"]) == printed("24")
    sixty = row(brentq(lambda p: included(p) - 0.6, 0.2, 0.8, xtol=1e-4))
    assert excess(sixty["estimate"]) == printed("15")


def test_trim_and_fill(res):
    made = metaan.trim_and_fill(res)
    shown = made.pooled.back()
    assert (made.k0, made.pooled.k) == (7, 44)
    assert shown.estimate == printed("1.19")
    assert (shown.ci_low, shown.ci_high) == (printed("1.08"), printed("1.31"))
    assert excess(res.estimate) == printed("24")
    assert excess(made.pooled.estimate) == printed("19")
