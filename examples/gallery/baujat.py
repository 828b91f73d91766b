"""
Baujat plot: which series of electrochemotherapy make its rates heterogeneous?
==============================================================================

Complete response of skin tumours, one point for each study: those on the right differ from the rest by more than chance
and heterogeneity allow, those at the top move the pooled rate when they are left out. A study in the upper right corner
is to be read again; where it stands is no reason to leave it out.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
ax = metaan.plot.baujat(res)
metaan.plot.save(ax, OUTPUT / "baujat.png", dpi=150)
print(metaan.plot.alt_text(ax))
