"""
Timeline: did response rates change over the years?
===================================================

Rates of complete response with their intervals by year of publication, a panel for each therapy, the area of a point
its n; below, how many patients there were by then, each counted once. Years go with drugs, criteria and patients: a
trend is no proof that a therapy became better.
"""

from pathlib import Path

import metaan

(output := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("all", outcome="complete_response", unit="patient", overlaps="prefer_largest")
table = metaan.plot.timeline_table(trials)
print(table.query("row == 'cumulative'")[["year", "studies", "patients"]].tail(3).to_string(index=False))

axes = metaan.plot.timeline(table)
for ax in axes:
    print(metaan.plot.alt_text(ax))
metaan.plot.save(axes[0], output / "timeline.png", dpi=150)
