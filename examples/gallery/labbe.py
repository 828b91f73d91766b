"""
L'Abbé plot: is the benefit of heat the same whatever radiotherapy achieves alone?
==================================================================================

Complete response with heat and radiotherapy (upwards) against radiotherapy alone (to the right): trials above the
diagonal had more responses with heat. The curve is where trials of the pooled odds ratio lie. Few of these trials were
randomised, and most tumours were not skin metastases (see ``07_hyperthermia_trials.py``).
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
ARMS = {name: name for name in ("study", "events_t", "total_t", "events_c", "total_c")}
# Counts that were inferred from percentages are admitted, as in the example that pools these trials.
asked = {"outcome": "complete_response", "counts": "any", "confidence": "any", "overlaps": "keep"}
trials = metaan.load("hyperthermia", unit="patient", **asked)
res = metaan.mantel_haenszel("OR", trials, **ARMS)
ax = metaan.plot.labbe(res, arms=("with heat", "without heat"), label=True)
metaan.plot.save(ax, OUTPUT / "labbe.png", dpi=150)
print(metaan.plot.alt_text(ax))
