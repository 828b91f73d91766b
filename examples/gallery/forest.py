"""
Forest plot: what share of patients responds completely, by treatment?
======================================================================

Every trial with counts of patients, by therapy: squares with exact intervals, a diamond for each therapy, a prediction
interval where there are three trials or more, and the test between therapies. The shaded curve is the distribution of
true rates that a new trial would come from. Single arms of different trials: no trial compares them.
"""

from pathlib import Path
from warnings import simplefilter

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
simplefilter("ignore", metaan.errors.ZeroCellWarning)
trials = metaan.load("all", outcome="complete_response", unit="patient", overlaps="prefer_largest")
trials["therapy"] = trials["therapy"].str.replace("_", " with ").str.capitalize()
eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
res = metaan.subgroups(eff, by="therapy", model="glmm")
ax = metaan.plot.forest(res, prediction="density", sort="year", title="Complete response of patients, by treatment")
metaan.plot.save(ax, OUTPUT / "forest.png", dpi=150)
print(metaan.plot.alt_text(ax))
