"""
Cumulative meta-analysis: when was the response rate of electrochemotherapy known?
==================================================================================

The pooled rate of complete response and its confidence interval after the series of each year, and below it the
variance between series. When the band stops narrowing, further series of the same kind tell little about the mean. No
allowance is made for having looked every year.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
axes = metaan.plot.cumulative(res, order="year", below="tau2")
metaan.plot.save(axes[0], OUTPUT / "cumulative.png", dpi=150)
print(metaan.plot.alt_text(axes[0]))
