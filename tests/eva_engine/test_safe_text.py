"""Names from untrusted files cannot control a terminal, flood it, or become formulas."""

import contextlib
import csv
import io
import logging

import pytest

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, run_command
from eva_engine.prediction.file_run import _print_error
from eva_engine.prediction.file_task import print_result
from eva_engine.safe_text import PrintableFormatter, csv_row, printable

HOSTILE = "a\x1b[31m\r\n\t\x07\x9b\u202eb\u2028\udce9\0é猫 c"
SAFE = r"a\x1b[31m\r\n\t\x07\x9b\u202eb\u2028\udce9\x00é猫 c"


def test_control_characters_become_escape_sequences():
    assert printable(HOSTILE) == SAFE
    assert printable("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"


def test_long_texts_are_cut():
    assert printable("x" * 2000) == "x" * 2000
    assert printable("x" * 10_000_000) == "x" * 2000 + "..."


def _raise(text: str) -> None:
    raise InputError(text)


@pytest.mark.parametrize(
    "output", [lambda text: run_command(_raise, text), _print_error, print_result, command_parser("").error]
)
def test_every_way_to_the_terminal(output, capsys):
    for text in (HOSTILE, HOSTILE * 100_000):
        with contextlib.suppress(SystemExit):
            output(text)
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    assert len(lines) in (2, 4)  # a parser also prints its usage
    assert SAFE in printed.out + printed.err
    assert all(line.isprintable() and len(line) < 3000 for line in lines)


def test_log_messages_keep_their_lines():
    record = logging.LogRecord("a", logging.INFO, "", 1, "a table\n%s", (HOSTILE,), None)
    assert PrintableFormatter("%(message)s").format(record).splitlines() == [
        "a table",
        r"a\x1b[31m\r",
        "\t" + r"\x07\x9b\u202eb\u2028\udce9\x00é猫 c",
    ]


def test_no_cell_is_a_formula():
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a=b", "", '=HYPERLINK("x","y")']
    (row,) = csv.reader(io.StringIO(csv_row([*names, 1.5, -2.5, None]), newline=""))
    assert row == ["'" + name if name not in ("a=b", "") else name for name in names] + ["1.5", "-2.5", ""]
