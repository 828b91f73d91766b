"""
Bubble plot: have response rates to electrochemotherapy changed over the years?
===============================================================================

Complete response of skin tumours by year of publication, regressed on the logit scale; areas are weights, the dark band
is the confidence interval of the expected rate and the light one the prediction interval for a new series. Years stand
for much else (tumours, drugs, criteria), and a trend between series need not be one in patients.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
fit = metaan.glmm("PLO", trials, events="events", total="total", study="study", formula="~ year")
largest = trials.nlargest(2, "total")["study"]
ax = metaan.plot.bubble(fit, x="year", label=list(largest))
metaan.plot.save(ax, OUTPUT / "bubble.png", dpi=150)
print(metaan.plot.alt_text(ax))
