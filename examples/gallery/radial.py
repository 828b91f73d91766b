"""
Radial plot: which series differ by more than chance?
=====================================================

Radial plot of complete response to electrochemotherapy, without a variance between studies: a line from the left
through a study meets the arc at its rate, precise studies stand on the right, and 95 % of all should lie in the band if
one rate held for all. Those outside are what heterogeneity is made of. The variance of arcsine rates does not depend on
the rate.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
eff = metaan.effect_size("PAS", trials, events="events", total="total", study="study")
ax = metaan.plot.radial(metaan.pool(eff, method="CE", test="z"), label="outside")
metaan.plot.save(ax, OUTPUT / "radial.png", dpi=150)
print(metaan.plot.alt_text(ax))
