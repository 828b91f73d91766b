"""
Complete response beside any response
=====================================

The trials of electrochemotherapy that count patients, complete response on the left and complete or partial response on the
right, each pooled by itself. A trial that reports only one of the two has no square in the other plot, so that the two
diamonds are not of the same patients.
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
for ax in axes:
    print(metaan.plot.alt_text(ax))
