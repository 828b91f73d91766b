"""
Doi plot: how lopsided are the rates of electrochemotherapy?
============================================================

The Doi plot folds the normal quantiles of the weighted ranks at the middle study: two limbs of one length mean
symmetry. The LFK index sums up their difference. It is no test: its false alarms depend on the number and size of the
studies and on heterogeneity, which is why a test that fits the measure is printed beside it.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
eff = metaan.effect_size("PAS", trials, events="events", total="total", study="study")
res = metaan.pool(eff)
print(metaan.lfk_index(res), "\n")
print(metaan.harbord(res))
ax = metaan.plot.doi(res)
metaan.plot.save(ax, OUTPUT / "doi.png", dpi=150)
