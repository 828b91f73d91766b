"""
Styles: one forest plot as each journal draws it
================================================

The same table of 49 trials in seven styles: colours, shades, order of the columns, brackets and decimal points change,
the numbers do not. All palettes can be read by the colour-blind, and "print" needs no colour.
"""

from pathlib import Path
from warnings import simplefilter

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
simplefilter("ignore", metaan.errors.OverlapWarning)
STYLES = ("default", "jama", "bmj", "lancet", "revman", "minimal", "print")
trials = metaan.load("all", outcome="complete_response", unit="patient", site="any", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
table = metaan.plot.forest_table(res, sort="estimate", footnote=False)
for style in STYLES:
    ax = metaan.plot.forest(table, style=style)
    metaan.plot.save(ax, OUTPUT / f"style_{style}.png", dpi=110)
print(metaan.plot.alt_text(ax))
