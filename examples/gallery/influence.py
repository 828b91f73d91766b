"""
Influence plot: what does the pooled rate owe to single studies?
================================================================

Every study is left out in turn: how far it lies from what the others predict (studentised residual), how far the pooled
rate moves (DFFITS, Cook's distance), what becomes of its precision and of the heterogeneity, and how much weight the
study has. Diamonds are influential by the rule of Viechtbauer and Cheung. The rule was made for many studies of about
one size, and to be influential is not to be wrong.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
axes = metaan.plot.influence(metaan.pool(eff))
metaan.plot.save(axes[0], OUTPUT / "influence.png", dpi=150)
print("\n".join(metaan.plot.alt_text(ax) for ax in axes))
