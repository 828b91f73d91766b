"""Every example runs without a warning, prints its table and writes its figure."""

import math
import re

import pytest
from helpers.examples import ROOT, read_rows, table_after

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_an_example_prints_a_table_and_writes_its_figure(name, run):
    printed, output = run(name)
    assert sum(len(re.findall(r"\d+\.\d", line)) >= 1 for line in printed.splitlines()) >= 3
    pictures, drawings = list(output.glob("*.png")), list(output.glob("*.svg"))
    assert {path.stem for path in pictures} == {path.stem for path in drawings} != set()
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size > 20_000
    for path in drawings:
        text = re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8"))
        assert re.search(r"\w+ (19|20)\d\d", text), "the figure names no study"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_enough_to_read(path):
    text = path.read_text(encoding="utf-8").split('"""', 2)[2]
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert 20 <= len(code) <= 60


def test_spratt_2014_shows_crude_sums_and_the_closest_recipe(run):
    printed, _ = run("02_spratt2014")
    assert "lay summary, not from the paper" in printed
    assert "'Campana 2012', 'Nathanson 1979', 'Stewart 1999'" in printed  # AUDIT.md: patients, printed as lesions
    top, *lines = (line.split() for line in table_after(printed, "The readable rows"))
    recipes = re.findall(r"crude|GLMM|\w+ \w+", " ".join(top[2:]))
    for outcome in ("complete_response", "objective_response"):
        held = [row for row in read_rows("spratt2014") if row[outcome]]
        start = next(i for i, line in enumerate(lines) if line[0] == outcome)
        shown = {line[-len(recipes) - 3]: line[-len(recipes) - 2 :] for line in lines[start : start + 5]}
        for therapy in ("ECT", "PDT", "RT", "ILT", "any"):
            rows = [row for row in held if therapy in (row["therapy"], "any")]
            events, total = (sum(int(row[name]) for row in rows) for name in (outcome, "n_lesions"))
            assert shown[therapy][:3] == [str(len(rows)), str(total), f"{100 * events / total:.1f}"]
        target = next(
            float(row["pooled_pct"])
            for row in read_rows("published")
            if (row["review_id"], row["outcome"]) == ("spratt2014", outcome)
        )
        gaps = {name: float(rate) - target for name, rate in zip(recipes, shown["any"][2:], strict=True)}
        closest, difference = re.search(
            rf"Published {outcome}: {target} % .*\n  closest recipe (.+?): .*difference ([+-][\d.]+)", printed
        ).groups()
        assert abs(gaps[closest]) == min(map(abs, gaps.values()))
        assert float(difference) == pytest.approx(gaps[closest], abs=0.11)
    assert re.search(r"Published recurrence: 9.2 % .*\n  not comparable", printed)
    assert "24 of 47 rows" in printed


def test_electrochemotherapy_is_set_against_every_published_review(run):
    printed, _ = run("03_electrochemotherapy")
    targets = [row for row in read_rows("published") if row["therapy"] == "electrochemotherapy"]
    _, *lines = table_after(printed, "Published reviews against")
    assert len(lines) == sum(1 if row["unit"] else 2 for row in targets) > 30
    for row in targets:
        start = f"{row['review_id']} {row['population']} {row['outcome']} {row['unit']}"
        shown = [line for line in lines if line.startswith(start)]
        assert len(shown) == (1 if row["unit"] else 2)
        assert all(f" {float(row['pooled_pct']):.1f} " in line for line in shown)
    for line in lines:
        rates = re.search(
            r"(?P<published>[\d.]+)(?: \([^)]*\))? \d+ \d+ \w+ (?P<ours>[\d.]+)(?: \([^)]*\))? (?P<gap>[+-][\d.]+)$",
            line,
        )
        if rates is None:
            assert line.endswith(("not comparable: no counts by size", "not comparable: no rows"))
            continue
        found = {name: float(number) for name, number in rates.groupdict().items()}
        assert found["ours"] - found["published"] == pytest.approx(found["gap"], abs=0.11)


def test_electrochemotherapy_keeps_lesions_and_patients_apart(run):
    printed, _ = run("03_electrochemotherapy")
    _, *lines = table_after(printed, "Electrochemotherapy of skin metastases")
    shape = r"(\w+)_response (\w+) (\d+) \d+ GLMM [\d.]+ \([\d.]+-[\d.]+\)(?: \d rows? with systemic treatment .*)?"
    found = [re.fullmatch(shape, line).groups() for line in lines]
    # AUDIT.md, section 3, counts 22, 13 (one is a subgroup), 20 and 14; the rest may share patients with a larger one.
    assert found == [
        ("complete", "lesion", "16"),
        ("complete", "patient", "6"),
        ("objective", "lesion", "14"),
        ("objective", "patient", "7"),
    ]


def test_miltefosine_says_that_the_counts_of_the_trial_are_inferred(run):
    printed, _ = run("04_miltefosine")
    _, *arms = table_after(printed, "Leonard 2001, objective response")[:3]
    assert [re.search(r"\d+ \d+ [a-z]+ [a-z]+", line).group() for line in arms] == [
        "8 24 inferred low",
        "1 27 inferred low",
    ]
    assert "INFERRED, not printed" in printed
    for a, b in ((8, 16), (7, 14)):  # both fit the printed 33.3 %, against 1/27
        c, d = 1, 26
        pearson = (a + b + c + d) * (a * d - b * c) ** 2 / ((a + b) * (c + d) * (a + c) * (b + d))
        pvalue = math.erfc(math.sqrt(pearson / 2))  # chi-square with 1 degree of freedom
        assert f"gives {pvalue:.4f}".replace("0.", ".") in printed
    # Newcombe 1998, method 10: from the Wilson intervals of both arms.
    wilson = {}
    for events, total in ((8, 24), (1, 27)):
        rate, z2 = events / total, 1.959963984540054**2
        centre, half = rate + z2 / (2 * total), math.sqrt(z2 * (rate * (1 - rate) + z2 / (4 * total)) / total)
        wilson[events] = rate, (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    (p1, low1, high1), (p2, low2, high2) = wilson[8], wilson[1]
    low = p1 - p2 - math.hypot(p1 - low1, high2 - p2)
    high = p1 - p2 + math.hypot(high1 - p1, p2 - low2)
    assert f"{100 * (p1 - p2):.1f} points (Newcombe 95% CI {100 * low:.1f} to {100 * high:.1f}): inferred" in printed


def test_miltefosine_pools_the_single_arm_trials_and_then_adds_the_randomised_one(run):
    printed, _ = run("04_miltefosine")
    header, *lines = (line.split() for line in table_after(printed, "Miltefosine arms"))
    held = [tuple(line[header.index(name)] for name in ("randomised", "k", "patients")) for line in lines]
    assert held == [("out", "3", "73")] * 4 + [("in", "4", "97")] * 2  # 25 + 30 + 18, and 24 more


def test_the_evidence_tour_shows_the_rate_under_each_policy(run):
    printed, _ = run("05_evidence_tour")
    assert "12 of 20 studies of electrochemotherapy share patients" in printed
    header, *lines = table_after(printed, "The pooled rate under each policy")
    assert header.startswith("overlaps k lesions")
    found = {line.split()[0]: line.split()[1:4] for line in lines}
    assert {name: values[0] for name, values in found.items()} == {
        "keep": "20",
        "prefer_largest": "14",
        "prefer_primary": "14",
    }
    assert found["prefer_largest"][2] != found["keep"][2]
    assert "Kis 2010 (kis2010)" in printed
    assert len(printed.split("References of the rows in hand\n\n")[1].strip().splitlines()) == 14


def test_lesions_and_patients_are_pooled_side_by_side(run):
    printed, _ = run("06_lesions_and_patients")
    for heading, patients in (("The same 6 trials", "6 203"), ("Electrochemotherapy, all trials", "7 875")):
        _, *lines = table_after(printed, heading)
        correlations = [line.split("ICC ")[1].split()[0] for line in lines[:4]]
        assert correlations == ["0", "0.1", "0.3", "0.5"]
        effective = [float(line.split("ICC ")[1].split()[2]) for line in lines[:4]]
        assert effective == sorted(effective, reverse=True)
        assert lines[4].startswith(f"patients {patients}")
    assert re.search(r"Quaglino 2008 .* 13 +14\n", printed)  # 13 of 14 patients
