"""
Evidence map: which therapy was tried in which tumour?
======================================================

A bubble for each combination, its area the number of patients; the bold number is that of the studies. Shaded cells are
gaps. Of studies that share patients, or may share them, only the largest adds its patients, so that each is counted
once. A map shows how much evidence there is in the base, not what it says.
"""

import warnings
from pathlib import Path

import metaan
from metaan.errors import OverlapWarning

(output := Path(__file__).parent / "output").mkdir(exist_ok=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", OverlapWarning)  # the map counts shared patients once by itself
    trials = [
        metaan.load("all", outcome="complete_response", unit=unit, overlaps="keep") for unit in ("lesion", "patient")
    ]
table = metaan.plot.evidence_map_table(trials)
print(table.query("row == 'row'")[["therapy", "studies", "sharing", "patients"]].to_string(index=False))
print(table.attrs["counted"])

ax = metaan.plot.evidence_map(table)
print(metaan.plot.alt_text(ax))
metaan.plot.save(ax, output / "evidence_map.png", dpi=150)
