"""Each command does what the function of its name does, says what it read, and ends with the right code."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner
from helpers.command_line import run, tree, written

import metaan
from metaan.cli.app import main

ASK = {"outcome": "complete_response", "unit": "lesion", "overlaps": "prefer_largest"}
EVIDENCE = ["--evidence", "electrochemotherapy", *(f"--{name}={value}" for name, value in ASK.items())]


@pytest.fixture(scope="module")
def trials():
    return metaan.load("electrochemotherapy", **ASK)


@pytest.fixture
def folder(tmp_path, monkeypatch, trials):
    """Trials as CSV, XLSX and JSON, and two-arm trials, in the working directory."""
    monkeypatch.chdir(tmp_path)
    plain = trials[["study", "events", "total", "primary_tumour"]]
    plain.to_csv("trials.csv", index=False)
    plain.to_json("trials.json", orient="records")
    plain.set_axis(["Author", "CR", "lesions in all", "tumour"], axis=1).to_excel("trials.xlsx", index=False)
    arms = metaan.load("hyperthermia", outcome="complete_response", unit="lesion", confidence="any", counts="any")
    arms[["study", "events_t", "total_t", "events_c", "total_c"]].to_csv("arms.csv", index=False)
    return tmp_path


def document(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def same(found, expected):
    assert found == json.loads(json.dumps(expected.to_dict()))


COUNTS = {"events": "events", "total": "total", "study": "study"}
ARMS = {name: name for name in ("events_t", "total_t", "events_c", "total_c", "study")}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["trials.csv"], lambda t: metaan.glmm("PLO", t, **COUNTS).back()),
        (["trials.csv", "--scale", "analysis"], lambda t: metaan.glmm("PLO", t, **COUNTS)),
        (
            ["trials.json", "--ci", "profile", "--level", "0.9", "--test", "z"],
            lambda t: metaan.glmm("PLO", t, **COUNTS, ci="profile", level=0.9, test="z").back(),
        ),
        (
            ["trials.xlsx", "--events", "CR", "--total", "lesions in all", "--model", "beta_binomial"],
            lambda t: metaan.beta_binomial(t, **COUNTS).back(),
        ),
        (
            ["trials.csv", "--measure", "PFT", "--method", "DL", "--test", "hk-adhoc", "--pi", "hts"],
            lambda t: metaan.pool(
                metaan.effect_size("PFT", t, **COUNTS), method="DL", test="hk-adhoc", pi="hts"
            ).back(),
        ),
        (
            ["trials.csv", "--by", "primary_tumour"],
            lambda t: metaan.subgroups(
                metaan.effect_size("PLO", t, **COUNTS, correction="only0"), "primary_tumour", model="glmm"
            ).back(),
        ),
    ],
)  # fmt: skip
def test_pool_is_the_function_of_its_model(args, expected, folder, trials):
    same(document(run("pool", *args, "--json")), expected(pd.DataFrame(trials, copy=True).drop(columns=["unit"])))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], lambda a: metaan.glmm("OR", a, **ARMS)),
        (["--measure", "RR", "--model", "mantel_haenszel"], lambda a: metaan.mantel_haenszel("RR", a, **ARMS)),
        (["--model", "peto"], lambda a: metaan.peto(a, **ARMS)),
        (
            ["--measure", "RD", "--model", "normal"],
            lambda a: metaan.pool(metaan.effect_size("RD", a, **ARMS, correction="only0")),
        ),
    ],
)
def test_two_arms(args, expected, folder):
    same(document(run("pool", "arms.csv", *args, "--json")), expected(pd.read_csv("arms.csv")).back())


def test_ready_made_effects(folder):
    eff = metaan.effect_size("OR", pd.read_csv("arms.csv"), **ARMS, correction="only0")
    frame = pd.DataFrame({"study": eff.study, "logor": eff.yi, "v": eff.vi, "se": eff.vi**0.5})
    frame.to_csv("effects.csv", index=False)
    res = metaan.pool(metaan.effects(eff.yi, eff.vi, study=eff.study, measure="OR")).back()
    args = ("pool", "effects.csv", "--measure", "OR", "--yi", "logor", "--json")
    found = document(run(*args, "--vi", "v"))
    assert found["estimate"] == pytest.approx(res.estimate, rel=1e-12)
    assert found["measure"] == "OR"
    assert document(run(*args, "--sei", "se"))["ci_low"] == pytest.approx(res.ci_low, rel=1e-12)


def test_an_analysis_of_a_review(folder):
    (folder / "review.csv").write_text(
        "Comparison Number,Outcome Number,Data Type,Effect Measure,Study,Events 1,Total 1,Events 2,Total 2,O-E,"
        "Variance\n"
        "1,1,Dichotomous,Risk Ratio,Adams,3,20,5,21,,\n1,1,Dichotomous,Risk Ratio,Baker,1,15,2,14,,\n"
        "1,2,O-E and Variance,Hazard Ratio,Adams,,,,,-4.5,9\n"
    )
    counts = {"events_t": [3, 1], "total_t": [20, 15], "events_c": [5, 2], "total_c": [21, 14]}
    res = metaan.glmm("RR", **counts, study=["Adams", "Baker"])
    same(document(run("pool", "review.csv", "--outcome", "1.1", "--json")), res.back())
    found = document(run("pool", "review.csv", "--outcome", "1.2", "--json", "--scale", "analysis"))
    assert (found["measure"], found["yi"], found["vi"]) == ("HR", [-0.5], [pytest.approx(1 / 9)])
    listed = run("pool", "review.csv")
    assert (listed.exit_code, "--comparison 1, --outcome 2" in listed.stderr) == (1, True)


def test_the_evidence_and_json_alone_on_stdout(trials):
    result = run("pool", *EVIDENCE, "--json")
    same(document(result), metaan.glmm("PLO", trials, **COUNTS).back())
    assert result.stderr == ""
    kept = run("pool", *EVIDENCE, "--overlaps", "keep", "--json")
    assert kept.stderr.startswith("Warning: ")
    assert document(kept)["k"] > len(trials)


def test_what_was_read_is_told_on_stderr(folder):
    result = run("pool", "trials.xlsx", "--events", "CR", "--total", "lesions in all")
    assert "'Author' is study" in result.stderr
    assert "Measure: PLO from events, total; labels from study.\n" in result.stderr
    assert result.stdout.startswith("Binomial-normal model")
    pd.DataFrame({"events": [3, 4], "total": [9, 8]}).to_csv("bare.csv", index=False)
    assert "studies numbered" in run("pool", "bare.csv").stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["pool"], 2, "Give a FILE, or --evidence NAME."),
        (["pool", "trials.csv", "--evidence", "topical"], 2, "Give a FILE, or --evidence NAME."),
        (["pool", "trials.csv", "--unit", "lesion"], 2, "--unit is an option of --evidence."),
        (["pool", *EVIDENCE, "--sheet", "1"], 2, "--sheet is an option of a FILE."),
        (["pool", "trials.csv", "--method", "REMLL"], 2, "Did you mean 'REML'?"),
        (["pool", "trials.csv", "--model", "glmm", "--method", "DL"], 2, "--method does not apply to --model glmm."),
        (["pool", "trials.csv", "--by", "study", "--ci", "wald"], 2, "--ci does not apply to --model glmm with --by."),
        (["pool", "trials.csv", "--by", "study", "--model", "beta_binomial"], 2, "--by is for --model normal and glmm"),
        (["pool", "trials.csv", "--model", "peto"], 2, "--model peto is for measure OR or PETO, not PLO."),
        (["pool", "arms.csv", "--model", "beta_binomial"], 2, "--model beta_binomial is for measure PLO, not OR."),
        (["pool", "trials.csv", "--methd", "DL"], 2, "No such option"),
        (["pol", "trials.csv"], 2, "No such command"),
        (["pool", "trial.csv"], 1, "There is no file 'trial.csv'. Did you mean 'trials.csv'?"),
        (["pool", "."], 1, "is a folder"),
        (["pool", "trials.csv", "--level", "95"], 1, "Did you mean --level 0.95?"),
        (["pool", "trials.csv", "--level", "high"], 2, "'high' is not a valid float"),
        (["pool", "trials.csv", "--by", "colour"], 1, "Columns: 'study', 'events', 'total', 'primary_tumour'."),
        (["pool", "trials.csv", "--test", "kr"], 1, "--test kr does not apply to --model glmm. Choose one of z, t."),
        (["pool", "trials.csv", "--model", "beta_binomial", "--pi", "kr"], 1, "--pi kr does not apply to --model beta"),
        (["pool", "trials.csv", "--measure", "QR"], 1, "--measure 'QR' is not known"),
        (["pool", "trials.csv", "--measure", "SMD"], 1, "mean_t"),
        (["pool", "trials.xlsx"], 1, "Name them: --events COL --total COL."),
        (["pool", "trials.xlsx", "--sheet", "2"], 1, "--sheet 2: the sheets of trials.xlsx are numbered from 1"),
        (["pool", "trials.xlsx", "--sheet", "two"], 1, "has the sheets 'Sheet1'"),
        (["pool", "--evidence", "electrochemotherapy"], 1, "complete_response ("),
        (["pool", *EVIDENCE[:4], "--overlaps", "raise"], 1, "Choose with --overlaps ("),
        (["studies", "--therapy", "surgery"], 1, "--therapy 'surgery' is not known. Choose one of electrochemotherapy"),
        (["forest", "trials.csv"], 2, "Missing option '-o'"),
        (["forest", "trials.csv", "-o", "figure.xyz"], 1, ".svg, .svgz"),
        (["forest", "trials.csv", "-o", "figure"], 1, "-o figure: the suffix chooses the format."),
        (["forest", "trials.csv", "-o", "no/figure.svg"], 1, "-o no/figure.svg: there is no folder 'no'."),
        (["forest", "trials.csv", "-o", "figure.svg", "--style", "jma"], 1, "Did you mean 'jama'?"),
        (["forest", "trials.csv", "-o", "-"], 1, "-o -: this command writes a file, not standard output."),
        (["report", "trials.csv", "-o", "report.txt"], 1, "-o report.txt: the suffix chooses the format."),
        (["report", "trials.csv", "-o", "."], 1, ".html"),
        (["pool", "trials.csv", "--decimal", ";"], 1, "Choose '.' or ','."),
        (["pool", "trials.csv", *["--header", "1"] * 3], 2, "--header is given 3 times."),
        (["pool", "trials.csv", "--events", ""], 2, "--events is empty. Name a column"),
        (["pool", "trials.csv", "--method", "GENQ"], 2, "--method 'GENQ' is not known."),
        (["pool", "arms.csv", "--model", "glmm", "--measure", "SMD"], 2, "--model glmm is for measure PLO or"),
        (["pool", "--evidence", "topic"], 1, "--evidence 'topic' is not known."),
        (["check", "nowhere"], 1, "'nowhere' is no folder"),
        (["check", "."], 1, "holds none of the tables"),
    ],
)
def test_errors(args, code, message, folder):
    before = tree(folder)
    result = run(*args)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert tree(folder) == before


def test_several_kinds_of_columns_are_not_guessed(folder):
    frame = pd.DataFrame({"study": list("ab"), "events": [3, 4], "total": [9, 8], "yi": [0.1, 0.2], "vi": [0.1, 0.1]})
    frame.to_csv("both.csv", index=False)
    result = run("pool", "both.csv")
    assert (result.exit_code, "events, total and of yi, vi" in result.stderr) == (1, True)
    assert document(run("pool", "both.csv", "--events", "events", "--json"))["measure"] == "PLO"
    assert document(run("pool", "both.csv", "--yi", "yi", "--json"))["measure"] == "GEN"


@pytest.mark.parametrize("name", ["figure.svg", "figure.png", "figure.pdf"])
def test_forest_writes_its_file_over_the_old_one_and_no_other(name, folder):
    (folder / name).write_text("old")
    before = tree(folder)
    metaan.plot.forest(
        metaan.effects([0.1, 0.2], [0.1, 0.1]).__class__ and metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1]))
    )
    with written() as paths:
        result = run("forest", "trials.csv", "-o", name, "--style", "jama", "--title", "Response <of> lesions")
    assert (result.exit_code, result.stdout, paths) == (0, "", {str(folder / name)})
    after = tree(folder)
    assert after.pop(folder / name) != before.pop(folder / name)
    assert after == before
    if name.endswith("svg"):
        assert "Response &lt;of&gt; lesions" in (folder / name).read_text()


def test_report_is_handed_the_result(folder, trials, monkeypatch):
    """What the report holds is tested elsewhere, that it writes one file in test_page."""
    asked = []
    monkeypatch.setattr("metaan.report", lambda *args, **options: asked.append((*args, options)))
    result = run("report", *EVIDENCE, "-o", "report.md", "--title", "A title", "--question", "What share?")
    ((res, path, options),) = asked
    assert (result.exit_code, result.stderr) == (0, "Wrote report.md.\n")
    assert (path, options) == ("report.md", {"title": "A title", "question": "What share?"})
    same(json.loads(json.dumps(res.to_dict())), metaan.glmm("PLO", trials, **COUNTS))


def test_studies_is_the_catalogue(trials):
    sets = metaan.catalogue()
    assert document(run("studies", "--json")) == {"sets": json.loads(sets.to_json(orient="records"))}
    text = run("studies").stdout.splitlines()
    assert [line.split()[0] for line in text] == ["name", *sets["name"]]
    every = document(run("studies", *(f"--therapy={name}" for name in sets["name"]), "--json"))
    assert {name: len(studies) for name, studies in every["studies"].items()} == dict(
        sets[["name", "studies"]].to_numpy().tolist()
    )
    listed = run("studies", "--therapy", "electrochemotherapy").stdout
    assert set(trials["study"].str.replace(r", .*", "", regex=True)) <= {
        re.split(r"\s{2,}", text)[0] for text in listed.splitlines()
    }


def test_check_ends_with_3_where_something_is_found(folder):
    assert run("check").stdout == "No findings.\n"
    assert document(run("check", "--json")) == {"findings": []}
    pd.DataFrame({"study_id": ["a"], "cohort_group": ["g"]}).to_csv("overlaps.csv", index=False)
    with written() as paths:
        result, again = run("check", folder), run("check", folder, "--json")
    assert (result.exit_code, again.exit_code, paths) == (3, 3, set())
    found = json.loads(again.stdout)["findings"]
    expected = metaan.check_studies(folder)
    assert [line["finding"] for line in found] == expected["finding"].tolist()
    assert "overlaps.csv, relation: the column is missing." in result.stdout
    assert "overlaps.csv, row 1, study_id: 'a' is not in references.csv." in result.stdout
    assert result.stdout.splitlines()[-1] == f"{len(expected)} findings."


def test_version_and_help_are_light():
    code = (
        "import sys; from metaan.cli.app import main\n"
        "for args in (['--version'], ['--help'], ['pool', '--help'], ['forest', '--help'], ['check', '--help']):\n"
        "    main(args, prog_name='metaan', standalone_mode=False)\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, loaded = done.stdout.rsplit("\n", 2)[0], set(done.stdout.splitlines()[-1].split())
    assert f"metaan, version {metaan.__version__}" in text
    assert not loaded & {"pandas", "matplotlib", "seaborn", "scipy", "jinja2", "statsmodels"}
    module = subprocess.run([sys.executable, "-m", "metaan", "--version"], capture_output=True, text=True, check=True)
    assert module.stdout == f"metaan, version {metaan.__version__}\n"


def test_help_names_every_command_and_option():
    assert [line.split()[0] for line in run("--help").stdout.split("Commands:\n")[1].splitlines()] == list(
        main.commands
    )
    for name, command in main.commands.items():
        text = run(name, "--help").stdout
        flags = [flag for param in command.params for flag in param.opts if flag.startswith("-")]
        assert all(flag in text for flag in flags)


def test_a_bug_is_told_as_one(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("of nothing")

    monkeypatch.setattr("metaan.check_studies", broken)
    result = CliRunner().invoke(main, ["check"])
    assert (result.exit_code, result.stdout) == (70, "")
    assert "metaan failed (ZeroDivisionError: of nothing). This is a bug" in result.stderr
    assert isinstance(CliRunner().invoke(main, ["--traceback", "check"]).exception, ZeroDivisionError)
