"""
A report that can be handed over
================================

Complete response of skin metastases to electrochemotherapy, per lesion and per patient, each as one page of HTML and as
Markdown: data with sources, methods, figures, checks, limitations, code. The table below says what each report covers
and what it leaves to its authors; the figure is the pair of forest plots.
"""

import re
from pathlib import Path

import pandas as pd

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
UNITS = ["lesion", "patient"]


def fitted(unit):
    trials = metaan.load("electrochemotherapy", outcome="complete_response", unit=unit, overlaps="prefer_largest")
    return metaan.glmm("PLO", trials, events="events", total="total", study="study")


def line(unit, res):
    """Write both reports, and tell what is in them."""
    page = metaan.report(res, OUTPUT / f"12_report_{unit}.html", multiverse=False)
    text = metaan.report(res, OUTPUT / f"12_report_{unit}.md", multiverse=False).read_text(encoding="utf-8")
    covered, items = map(int, re.search(r"(\d+) of (\d+) are covered", text).groups())
    shown = res.back()
    return {
        "report": page.name, "studies": res.k, "rate, %": f"{100 * shown.estimate:.1f}",
        "95% CI": f"{100 * shown.ci_low:.1f}-{100 * shown.ci_high:.1f}", "sections": text.count("\n## "),
        "sources": text.count('<a id="source-'), "size, kB": f"{page.stat().st_size / 1000:.1f}",
        "PRISMA items": f"{covered} of {items}",
    }  # fmt: skip


results = {unit: fitted(unit) for unit in UNITS}
table = pd.DataFrame([line(unit, res) for unit, res in results.items()])
print("What is in the reports\n")
print(table.to_string(index=False), "\n")

for unit in UNITS:
    text = (OUTPUT / f"12_report_{unit}.md").read_text(encoding="utf-8")
    answer = text.split("## Question and answer\n")[1].split("<a id=")[0]
    print(f"The answer per {unit}\n")
    print(re.sub(r"[*\\]", "", answer).strip(), "\n")

axes = metaan.plot.forests({f"Per {unit}": res for unit, res in results.items()})
metaan.plot.save(axes[0], OUTPUT / "12_report.png", OUTPUT / "12_report.svg")
