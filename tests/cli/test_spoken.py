"""What Python calls an argument is an option on the command line, where the command has it; quotations stay."""

import pytest

from metaan.cli.app import main
from metaan.cli.spoken import spoken


def of(command, text):
    return spoken(text, main.commands[command])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("level=95 is out of range.", "--level 95 is out of range."),
        ("missing='drop' leaves such studies out", "--missing 'drop' leaves such studies out"),
        ("Say correction= to choose.", "Say --correction to choose."),
        ("Say `correction=` to choose, or use glmm.", "Say --correction to choose, or use glmm."),
        ("Say which: header=.", "Say which: --header."),
        ("header=(3, 4): row 4 is blank.", "--header 3 --header 4: row 4 is blank."),
        ("Name them: columns={'mean_t': ..., 'o_e': ...}.", "Name them: --mean-t COL --o-e COL."),
        ("`columns={'study': ...}` chooses.", "--study COL chooses."),
        ("Closest: columns={'total_t': 'All, treated', 'n': \"it's\"}.",
         """Closest: --total-t 'All, treated' --n 'it'"'"'s'."""),
        ("Columns: 'level=1', \"it's level=2\", 'x'.", "Columns: 'level=1', \"it's level=2\", 'x'."),
        ("path='nosuf' must end in .html.", "-o 'nosuf' must end in .html."),
        ("model='UM.FS' for measure='RD' has no likelihood.", "model 'UM.FS' for --measure 'RD' has no likelihood."),
        ("model='gl' is not known.", "--model 'gl' is not known."),
        ("see heterogeneity_interval(method='HT').", "see heterogeneity_interval(method='HT')."),
        ("metaan's weights= and link='log'", "metaan's weights= and link='log'"),
    ],
)  # fmt: skip
def test_messages(text, said):
    assert of("report", text) == said


def test_only_options_of_the_command_at_hand():
    text = "path='x', columns={'events': 'CR'}, level=0.9"
    assert of("check", text) == text
    assert spoken(text, None) == text
    assert of("pool", text) == "path='x', --events CR, --level 0.9"
    assert (of("studies", "name='x'"), of("pool", "name='x'")) == ("--therapy 'x'", "--evidence 'x'")
