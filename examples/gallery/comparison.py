"""
Comparison of therapies: which have more complete responses?
============================================================

Points are studies, their area n; the diamond with the thick line is the pooled rate with its confidence interval, the
thin line shows where the rate of a new study is expected. The therapies were not randomised against one another: other
patients, tumours and years may be behind a difference, and groups of fewer than three studies are not pooled.
"""

from pathlib import Path

import metaan

(output := Path(__file__).parent / "output").mkdir(exist_ok=True)
results = {}
for unit in ("lesion", "patient"):
    trials = metaan.load("all", outcome="complete_response", unit=unit, overlaps="prefer_largest")
    eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
    results[f"Per {unit}"] = metaan.subgroups(eff, by="therapy", model="glmm")

axes = metaan.plot.comparison(results, sort="total")
for ax in axes:
    print(metaan.plot.alt_text(ax))
metaan.plot.save(axes[0], output / "comparison.png", dpi=150)
