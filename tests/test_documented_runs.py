"""The scripts of .ci: which documented commands are found, skipped and counted as failed; time limits; Pythons."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import documented_pages
import pytest
from documented_pages import Command

CI = Path(__file__).parent.parent / ".ci"
PAGE = """
Text with `python -m tools`, `python -m tools VERB --help`, `make lint`, and the incomplete `python -m tools train`.

```
git clone it
python -m tools train \\
    --config-file a.py   # a comment
```
```python
print("x")
```
   ```
   python -m tools train --config-file a.py
   make demo
   ```
```json
{"python": 1}
```
"""


@pytest.fixture(scope="module")
def documented():
    spec = importlib.util.spec_from_file_location("documented_commands", CI / "documented_commands.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def command(line: str) -> Command:
    return documented_pages.to_command("page.md", shlex.split(line))


def test_commands_are_found_once(monkeypatch, documented):
    monkeypatch.setattr(documented_pages, "TEXTS", {"page.md": PAGE, "other.md": PAGE})
    monkeypatch.setattr(documented_pages, "PROSE", {"page.md": documented_pages.remove_blocks(PAGE), "other.md": ""})
    monkeypatch.setattr(documented, "PAGES", ["page.md", "other.md"])
    monkeypatch.setattr(documented, "find_verbs", lambda: {"train": None, "plan": None})
    assert [shlex.join(command.words) for command in documented.all_commands()] == [
        "python -m tools",
        "python -m tools train --help",
        "python -m tools plan --help",
        "make lint",
        "python -c 'print(\"x\")\n'",  # before the commands, which may need its files
        "python -m tools train --config-file a.py",
        "make demo",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("python -m tools plan --config-file there.py", ""),
        ("python -m tools plan --config-file gone.py", ""),
        ("python -m tools predict --config-file gone.py --weights eva_lvis.pth", ""),
        ("torchrun --nnodes 4 -m tools train --config-file gone.py", ""),
        ("python -m tools predict --weights there.pth --input photos/ --output out/", "needs custom data"),
        ("python -m tools predict --weights there.pth --input there.py --output out/", ""),
        ("python -m tools train train.init_checkpoint=eva_lvis.pth", "needs a published weight file"),
        ("python -m tools train train.init_checkpoint=unheard_of.pth", ""),
        ("python -m tools predict --weights eva_lvis --input there.pth", "needs a published weight file"),
        ("python -m tools evaluate train.init_checkpoint=eva_lvis", "needs a published weight file"),
        ("python -m tools inspect eva_lvis", "needs a published weight file"),
        ("python -m tools export eva_lvis a.pth", "needs a published weight file"),
        ("python -m tools weights download eva_lvis", "needs a published weight file"),
        ("python -m tools weights verify", ""),
        ("python -m tools weights", ""),
        ("python -m tools evaluate --weights output/skipped", "needs the output of a skipped command"),
        ("python -m tools evaluate --weights output/written", ""),
        ("python -m tools export output/skipped/model_final.pth a.pth", "needs the output of a skipped command"),
        ("python -m tools export output/written/model_final.pth a.pth", ""),
        ("python -m tools export output/never_written/model_final.pth a.pth", ""),
        ("python -m tools train --num-gpus 8 --config-file there.py", "needs more than two processes"),
        ("python -m tools train --num-machines=2 --config-file there.py", "needs more than two processes"),
        ("python -m tools train --num-gpus 2 --config-file there.py", ""),
        ("torchrun --nproc-per-node 8 -m tools train", "needs more than two processes"),
        ("torchrun --nproc-per-node 2 -m tools train", ""),
        ("make test", "is a stage of .ci/run"),
        ("make setup", ""),
        ("python -c 'load(\"eva_lvis.pth\")'", "needs a published weight file"),
        ('python -c \'save("tiny.pt"); load("tiny.pt")\'', ""),
    ],
)
def test_commands_that_cannot_run_are_skipped(tmp_path, documented, line, reason):
    for name in ("there.py", "there.pth"):
        (tmp_path / name).touch()
    found = [
        command(line),
        command(
            "python -m tools train train.init_checkpoint=output/chain/model_final.pth train.output_dir=output/skipped"
        ),
        command("python -m tools train train.init_checkpoint=eva_lvis.pth train.output_dir=output/chain"),
        command("python -m tools train train.output_dir=output/written"),
    ]
    assert documented.reasons_to_skip(found, tmp_path).get(found[0], "") == reason


@pytest.mark.parametrize(
    ("status", "out", "err", "expected"),
    [
        (0, "", "", "ran"),
        (1, "peak 30 GB\nIt does not fit 24.0 GB.\n", "a warning", "ran"),
        (1, "", "Traceback (most recent call last):\nKeyError", "FAILED"),
        (1, "It does not fit 24.0 GB.\n", "Traceback (most recent call last):\nKeyError", "FAILED"),
        (1, "", "error: x", "FAILED"),
        (2, "", "error: DATA/lvis/val.json: no such file; give another.", "needs a dataset"),
        (
            2,
            "",
            "error: dataset 'a' is expected under DETECTRON2_DATASETS, DATA/coco is missing",
            "needs a dataset",
        ),
        (2, "", "error: DATA/README.md is not a dataset", "FAILED"),
        (1, "", "error: DATA/lvis/val.json: no such file; give another.", "FAILED"),
        (2, "", "error: the config file projects/gone.py does not exist", "FAILED"),
        (2, "", "error: output/mine/model_final.pth does not exist", "FAILED"),
    ],
)
def test_outcomes(tmp_path, monkeypatch, documented, status, out, err, expected):
    (tmp_path / "README.md").touch()
    monkeypatch.setattr(documented, "DATA", tmp_path)
    plan = command("python -m tools plan --config-file a.py")
    assert documented.outcome(plan, status, out, err.replace("DATA", str(tmp_path)), 1)[0] == expected


def test_only_a_plan_may_end_with_1(documented):
    train = command("python -m tools train --config-file a.py")
    assert documented.outcome(train, 1, "It does not fit 24.0 GB.\n", "", 1)[0] == "FAILED"


def test_a_command_runs_and_is_stopped(tmp_path, documented):
    assert documented.run(command("python -c 'print(1)'"), tmp_path, 60)[0] == "ran"
    detail = documented.run(command("python -c 'import time; time.sleep(60)'"), tmp_path, 1)
    assert detail == ("FAILED", "not done after 1 s")


@pytest.mark.parametrize(
    ("limit", "line", "status", "sentence"),
    [
        ("60", "true", 0, "CI: name: passed in"),
        ("60", "exit 3", 3, "CI: name: failed with status 3"),
        ("1", "sleep 60 & sleep 60", 124, "CI: name: stopped, not done after 1 s"),
    ],
)
def test_a_stage_is_bounded(limit, line, status, sentence):
    ended = subprocess.run(
        [CI / "stage", limit, "name", "bash", "-c", line], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout[: len(sentence)]) == (status, sentence)


def test_interrupted_stage_leaves_no_process(tmp_path):
    line = f"sleep 60 & echo $! >{tmp_path}/new && mv {tmp_path}/new {tmp_path}/pid; wait"
    stage = subprocess.Popen([CI / "stage", "60", "name", "bash", "-c", line])
    while not (tmp_path / "pid").exists():
        time.sleep(0.05)
    stage.send_signal(signal.SIGTERM)  # not SIGINT, which a shell's background jobs ignore
    assert stage.wait(30) == 130
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(child)


def test_skipped_stages_are_in_the_run(documented):
    run = (CI / "run").read_text()
    assert [stage for stage in documented.STAGES if f"make {stage}\n" not in run] == ["bench"]
    assert ".venv/bin/python -m benchmarks " in run


def test_working_pythons_are_found(tmp_path):
    folders = {name: tmp_path / name for name in (".ci", ".venv/bin", "bin", ".pyenv/versions/3.12.1/bin")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    script = shutil.copy(CI / "pythons", folders[".ci"])
    shutil.copy(CI / "python", folders[".ci"])
    commands = {
        ".venv/bin/python": "echo 3.11",
        "bin/python3.12": "exit 127",  # pyenv's shim for a version that is not selected
        ".pyenv/versions/3.12.1/bin/python3": "exit 0",
        "bin/python3.13": "exit 127",
        "bin/make": 'echo "$*" >>made',
    }
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    ended = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    setup, test = (tmp_path / "made").read_text().splitlines()
    assert setup == f"--silent setup PYTHON={tmp_path}/.pyenv/versions/3.12.1/bin/python3 VENV=.venv-3.12"
    assert test.startswith("--silent test VENV=.venv-3.12 TESTS=tests/")
    assert ended.stdout.splitlines()[-1] == "Python 3.13: not on this machine"


def _is_running(process: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
