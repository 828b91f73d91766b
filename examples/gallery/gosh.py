"""
GOSH plot: do all subsets of the studies tell the same story?
=============================================================

The model is fitted to every subset of the studies of electrochemotherapy, or to 20,000 of them: the pooled rate of each
against its heterogeneity, split by the study that moves the mean of the subsets most. Two clouds that part would come
from that study. The cloud is no distribution of the true rate, since its subsets share their studies.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
made = metaan.gosh(metaan.pool(eff).back(), subsets=20_000)
ax = metaan.plot.gosh(made, study=made.by_study()["study"].iloc[0])
metaan.plot.save(ax, OUTPUT / "gosh.png", dpi=150)
print(made)
