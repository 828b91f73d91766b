"""
Drapery plot: which complete response rates are compatible with the trials, and how well?
=========================================================================================

A curve for each series of electrochemotherapy gives the p-value of every hypothetical rate; the thick one is that of
the pooled rate, the shaded one that of the rate in a new series. Where a curve crosses the line at 0.05 its 95 %
interval ends. The pooled curve is narrow because there are many series, not because they agree.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
ax = metaan.plot.drapery(res, label=list(trials.nlargest(1, "total")["study"]))
metaan.plot.save(ax, OUTPUT / "drapery.png", dpi=150)
print(metaan.plot.alt_text(ax))
