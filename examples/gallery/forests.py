"""
Forest plots side by side: complete response, any response, all categories
==========================================================================

The trials of electrochemotherapy that count patients, complete response on the left and complete or partial response
on the right, each pooled by itself; then lesions, with the shares of all four categories. A trial that reports only one
of two outcomes has no mark in the other plot, so that two diamonds are not of the same trials.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
results = {}
for heading, outcome in (("Complete response", "complete_response"), ("Objective response", "objective_response")):
    trials = metaan.load("electrochemotherapy", outcome=outcome, unit="patient", overlaps="prefer_largest")
    results[heading] = metaan.glmm("PLO", trials, events="events", total="total", study="study")
axes = metaan.plot.forests(results, sort="total", footnote=False)
metaan.plot.save(axes[0], OUTPUT / "forests.png", dpi=150)

asked = {"unit": "lesion", "overlaps": "prefer_largest"}
lesions = metaan.load("electrochemotherapy", outcome="complete_response", **asked)
complete = metaan.glmm("PLO", lesions, events="events", total="total", study="study")
every = metaan.categories(metaan.response_table("electrochemotherapy", **asked))
both = metaan.plot.forests({"Complete response": complete, "All categories": every}, footnote=False)
metaan.plot.save(both[0], OUTPUT / "forests_categories.png", dpi=150)
for ax in (*axes, *both):
    print(metaan.plot.alt_text(ax))
