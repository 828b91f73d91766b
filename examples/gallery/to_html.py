"""
Forest plot as a web page: to sort, filter and ask
==================================================

Complete response of lesions after electrochemotherapy by drug, as one web page that needs no network: a click on a
heading sorts the trials within their groups, the search box hides those that do not match, and hover or focus on a
trial tells its counts, its shrunken rate and where it was read. The pooled rows never move: they are of all trials,
whatever is hidden.
"""

from pathlib import Path

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
trials["drug"] = trials["agent"].str.split().str[0].str.capitalize().fillna("Not given")
eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study")
res = metaan.subgroups(eff, by="drug", model="glmm")
page = metaan.plot.to_html(res, OUTPUT / "to_html.html", title="Complete response of lesions, by drug", sort="year")
print(f"{res.overall.k} studies on a page of {len(page) // 1000} kB")
