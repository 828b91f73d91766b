"""
Is the response rate of electrochemotherapy robust?
===================================================

Complete response of skin metastases, exact model: without each study in turn, studies that pull the rate, small-study
effects, and the multiverse: every defensible choice of rows, transformation, estimator and interval, for lesions and
for patients. At the end, a paragraph that says what survives, made from the numbers.
"""

from pathlib import Path
from textwrap import fill

import metaan

(OUTPUT := Path(__file__).parent / "output").mkdir(exist_ok=True)
HALF, COUNTS = 0.5, {"events": "events", "total": "total", "study": "study"}
CALLED = {"confidence": "how sure the extraction of the counts must be", "measure": "the scale of the rates"}


def percent(*rates):
    return " to ".join(f"{100 * rate:.1f}" for rate in rates) + " %"


trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
res = metaan.glmm("PLO", trials, **COUNTS)
shown = res.back()
print(f"{res}\n")

without = metaan.leave_one_out(shown)
print("Without each study in turn\n")
print(without[["study", "estimate", "ci_low", "ci_high", "tau2"]].round(3).to_string(index=False), "\n")

pulls = metaan.influence(res)
print("Influence of each study\n")
columns = ["study", "rstudent", "dffits", "cooks_d", "tau2_del", "influential"]
print(pulls[columns].round(2).to_string(index=False), "\n")

small = metaan.small_study_effects(res)
print(f"Small-study effects\n\n{small}\n")

every = metaan.multiverse(trials, units=["lesion", "patient"], icc=[0, 0.3])
told = every.summary(threshold=HALF)
print(f"The multiverse\n\n{every}\n")
print(f"Which choice matters\n\n{every.importance().round(3).to_string(index=False)}\n")

low, high = (without.loc[getattr(without["estimate"], which)()] for which in ("idxmin", "idxmax"))
axes = metaan.plot.multiverse(every, threshold=HALF, ylabel="Complete response (%)")
lines = [f"{percent(row['estimate'])} without\n{row['study']}" for row in (low, high)]
note = "\n".join(["Lesions, exact model:", percent(shown.estimate), *lines])
axes[0, 0].figure.text(0.02, 0.97, note, va="top", fontsize=7, linespacing=1.4)
metaan.plot.save(axes[0, 0], OUTPUT / "09_is_it_robust.png", OUTPUT / "09_is_it_robust.svg")

pulling, first = list(pulls.loc[pulls["influential"], "study"]), small.to_frame().dropna(subset="pvalue").iloc[0]
said = [
    f"By the exact model {percent(shown.estimate)} of lesions respond completely (95% CI "
    f"{percent(shown.ci_low, shown.ci_high)}, {res.k} studies). Without one study the rate is between "
    f"{percent(low['estimate'])} (without {low['study']}) and {percent(high['estimate'])} (without {high['study']}); "
    f"influential by the usual rule: {', '.join(pulling) or 'none'}. {first['test']}: p = {first['pvalue']:.2f}, "
    f"{'a' if first['pvalue'] < small.level else 'no'} sign of small-study effects."
]
for row in told.itertuples():
    matters = every.importance().query("unit == @row.unit")
    first, together = matters.iloc[0], matters.iloc[-1]
    side = {1: "all of them above", 0: "none of them above"}.get(row.share_above, f"{percent(row.share_above)} above")
    said.append(
        f"Per {row.unit}, {row.analyses} analyses give {percent(row.lowest, row.highest)} (median {percent(row.median)}"
        f"), {side} {100 * HALF:g} %; {percent(row.share_ci_above + row.share_ci_below)} of the intervals exclude it. "
        f"What matters most is {CALLED.get(first['choice'], first['choice'])} ({first['share_estimate']:.0f} % of the "
        f"variance of the estimates; {together['share_estimate']:.0f} % are due to combinations of choices)."
    )
agreed = {row.unit: "above" if row.share_above else "below" for row in told.itertuples() if row.share_above in (0, 1)}
last = [f"per {unit} every estimate is {side} {100 * HALF:g} %" for unit, side in agreed.items()]
last += [f"per {unit} the side of {100 * HALF:g} % hangs on the choices" for unit in told["unit"] if unit not in agreed]
said.append(f"So {' and '.join(last)}; all lie at {percent(told['lowest'].min(), told['highest'].max())}.")
said.append(
    f"An interval that includes {100 * HALF:g} % leaves the side open; shares of analyses are no probabilities."
)
print("What survives\n")
print(fill(" ".join(said), 110))
