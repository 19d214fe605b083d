"""The table of commands: what it names exists, and what is not in it is told."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from eva_engine.commands.verbs import VERBS, main, table

ROOT = Path(__file__).parents[3]
ALL = {name: verb for verbs in VERBS.values() for name, verb in verbs.items()}


@pytest.mark.parametrize("name", ALL)
def test_every_verb_is_a_command(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # which it replaces
    assert callable(import_module(ALL[name].module).main)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"], "python -m tools")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m tools {name} ")


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_the_table_names_all(argv, capsys):
    assert main(argv, "eva-vision") == 0
    printed = capsys.readouterr().out
    assert printed == table("eva-vision") + "\n"
    assert all(f"  {name} " in printed for name in ALL)


def test_an_unknown_verb_is_told(capsys):
    assert main(["pretrain"]) == 2
    assert capsys.readouterr().err.endswith("error: 'pretrain' is not a verb; take one of those above.\n")


def test_help_does_not_load_torch():
    code = (
        "import sys\nfrom eva_engine.commands.verbs import main\n"
        "try: main([sys.argv[1], '--help'])\nfinally: print('torch' in sys.modules)"
    )
    for name in ALL:
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=240)
        assert done.stdout.endswith("False\n"), done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_error(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tools"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=writing, stderr=subprocess.PIPE, timeout=240)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
