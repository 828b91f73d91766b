"""
Specification curve: how far do defensible choices move the answer?
===================================================================

Complete response of lesions to electrochemotherapy by every combination of model, transformation, estimator and
interval that a reviewer might ask for, lowest estimate first; below, the choices that each analysis made. The spread is
that of the choices, not of chance: each estimate has its own interval, the thin line.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
result = metaan.multiverse(trials)
axes = metaan.plot.multiverse(result, ylabel="Complete response (% of lesions)")
metaan.plot.save(axes[0, 0], OUTPUT / "multiverse.png", dpi=150)
print(f"{len(result.curve())} analyses of {len(trials)} studies")
