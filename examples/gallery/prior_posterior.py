"""
Prior and posterior: what do the trials add to what was assumed?
================================================================

Prior (dashed) and posterior density of the complete response rate of electrochemotherapy per patient, of the standard
deviation between series, and of the rate in a new series; the shade is the 95 % credible interval. With few series the
posterior of tau leans on its prior: look whether the two curves differ.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="patient", overlaps="prefer_largest")
res = metaan.bayes(trials, events="events", total="total", study="study", mu_prior=metaan.NormalPrior(0, 1.5))
axes = metaan.plot.prior_posterior(res, parameter=["mu", "tau", "new"])
metaan.plot.save(axes[0], OUTPUT / "prior_posterior.png", dpi=150)
for ax in axes:
    print(metaan.plot.alt_text(ax))
