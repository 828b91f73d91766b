"""
Normal quantile plot: are the true rates normal on the logit scale?
===================================================================

Residuals of the studies, each from the fit without it, against the quantiles of a normal distribution: points on the
line mean that the random-effects model describes the studies, a point outside the shade one that it does not. With few
studies the shade is wide, and a straight line is no proof: part of every residual is sampling error, which is normal in
any case.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
ax = metaan.plot.qq(metaan.pool(eff))
metaan.plot.save(ax, OUTPUT / "qq.png", dpi=150)
print(metaan.plot.alt_text(ax))
