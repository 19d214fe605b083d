"""The table of commands: every verb exists and prints its help without PyTorch; unknown verbs are refused."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from eva_engine.commands.verbs import find_verbs, main, table

ROOT = Path(__file__).parents[3]
VERBS = find_verbs()


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_a_command(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # main replaces it
    assert callable(import_module(VERBS[name].module).main)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"], "python -m tools")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m tools {name} ")


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_the_table_lists_every_verb(argv, capsys):
    assert main(argv, "eva-vision") == 0
    printed = capsys.readouterr().out
    assert printed == table("eva-vision") + "\n"
    assert all(f"  {name} " in printed for name in VERBS)


def test_an_unknown_verb_is_refused(capsys):
    assert main(["pretrain"]) == 2
    assert capsys.readouterr().err.endswith("error: 'pretrain' is not a verb; choose one of those above.\n")


@pytest.mark.parametrize("name", VERBS)
def test_help_does_not_load_torch(name):
    code = (
        "import sys\nfrom eva_engine.commands.verbs import main\n"
        "try: main([sys.argv[1], '--help'])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=240)
    assert f"usage: eva-vision {name} " in done.stdout
    assert done.stdout.endswith("\nFalse\n"), done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_not_reported_as_an_error(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tools"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=writing, stderr=subprocess.PIPE, timeout=240)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
