"""Ctrl-C and SIGTERM in every phase of every command: a documented exit status and no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from eva_engine.atomic import atomic_path
from eva_engine.commands import verbs
from eva_engine.commands.verbs import main
from eva_engine.tasks import Verb

ROOT = Path(__file__).parents[3]
PHASES = {
    "import": "os.kill(os.getpid(), number)\ndef main(argv): return 0",
    "run": "def main(argv): os.kill(os.getpid(), number); time.sleep(60)",
    "command": (
        "from eva_engine.commands.cli import run_command\n"
        "def main(argv): return run_command(lambda: (os.kill(os.getpid(), number), time.sleep(60)))"
    ),
    "write": (
        "from eva_engine.atomic import atomic_path\n"
        "def main(argv):\n  with atomic_path(argv[0]): os.kill(os.getpid(), number); time.sleep(60)"
    ),
}


@pytest.fixture(autouse=True)
def _interrupts_are_not_ignored():
    """A shell starts commands in the background with SIGINT ignored, which processes inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def signalled_verb(tmp_path, monkeypatch):
    """Return a function that runs a command which sends a signal to its process in a phase."""

    def run(phase: str, number: int) -> int:
        name = f"signalled_{phase}_{number}"
        (tmp_path / f"{name}.py").write_text(f"import os, time\nnumber = {number}\n{PHASES[phase]}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(verbs, "find_verbs", lambda: {"verb": Verb("", name, "")})
        monkeypatch.setattr(sys, "argv", sys.argv)  # main replaces it
        return main(["verb", str(tmp_path / "result.json")])

    return run


@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupted_command_says_so_in_one_line(phase, signalled_verb, capsys, tmp_path):
    assert signalled_verb(phase, signal.SIGINT) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert [path.suffix for path in tmp_path.glob("*.*")] == [".py"]  # no partial result


@pytest.mark.parametrize("phase", PHASES)
def test_a_terminated_command_removes_partial_files(phase, signalled_verb, capsys, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        signalled_verb(phase, signal.SIGTERM)
    assert ended.value.code == 143
    assert capsys.readouterr().err == ""
    assert [path.suffix for path in tmp_path.glob("*.*")] == [".py"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_finished_result_survives(tmp_path):
    with atomic_path(tmp_path / "a.json") as partial:
        partial.write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("number", "status", "printed"), [("SIGINT", 130, "interrupted\n"), ("SIGTERM", 143, "")])
@pytest.mark.parametrize("verb", ["train", "evaluate", "plan", "predict", "inspect"])
def test_every_verb_while_it_loads_its_recipe(verb, number, status, printed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    recipe = tmp_path / "recipe.py"
    recipe.write_text(f"import os, signal, time\nos.kill(os.getpid(), signal.{number})\ntime.sleep(60)\n")
    weights, image = tmp_path / "w.pth", tmp_path / "i.png"
    torch.save({"model": {}}, weights)
    image.touch()
    given = {"predict": ["--weights", str(weights), "--input", str(image)], "inspect": [str(weights)]}
    arguments = given.get(verb, [])
    try:
        ended = main([verb, *arguments, "--config-file", str(recipe)])
    except SystemExit as error:
        ended = error.code
    assert ended == status
    # predict also says where its finished results are
    assert capsys.readouterr().err.replace("; finished results are in output/predictions", "") == printed


@pytest.mark.parametrize(
    "command", [["-m", "tools"], ["-c", "import sys; from eva_engine.commands.start import main; sys.exit(main())"]]
)
def test_an_interrupt_while_the_table_of_verbs_is_imported(command, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import builtins, os, signal\noriginal = builtins.__import__\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupted(name, *args, **keywords):\n"
        "  if name == 'argparse': os.kill(os.getpid(), signal.SIGINT)\n"
        "  return original(name, *args, **keywords)\n"
        "builtins.__import__ = interrupted\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_interrupted_processes_end_with_the_command():
    """The signal goes to the parent alone, as from `kill`, while its processes are at work."""
    code = (
        "import sys, time\nfrom eva_engine.commands import verbs\nfrom eva_engine.tasks import Verb\n"
        "from eva_engine.training.distributed import launch\n"
        "def main(argv):\n"
        "  launch(time.sleep, (300,), processes_per_machine=2, dist_url='auto', device='cpu')\n"
        "if __name__ == '__main__':\n"
        "  verbs.find_verbs = lambda: {'verb': Verb('', '__main__', '')}\n"
        "  sys.exit(verbs.main(['verb']))\n"
    )
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    children: list[int] = []
    while len(children) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        children = [pid for pid in _children(parent.pid) if "spawn_main" in _command(pid)]
    parent.send_signal(signal.SIGINT)
    _, printed = parent.communicate(timeout=100)
    assert (parent.returncode, printed) == (130, "interrupted\n")
    assert len(children) == 2
    assert not any("spawn_main" in _command(pid) for pid in children)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
