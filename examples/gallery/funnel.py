"""
Funnel plot: do small series report other rates than large ones?
================================================================

Complete response of skin tumours to electrochemotherapy, one point for each study, large studies at the top. The
standard error of a rate depends on the rate itself, so that the studies stand against their size. Dashed: where 95 % of
them would lie if chance alone made them differ; dash-dotted: with the heterogeneity that was found. A lopsided funnel
has other reasons than unpublished studies, too, such as smaller tumours or shorter follow-up in small centres.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
ax = metaan.plot.funnel(res, region="both", label="outside")
metaan.plot.save(ax, OUTPUT / "funnel.png", dpi=150)
print(metaan.plot.alt_text(ax))
