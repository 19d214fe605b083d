"""Common behaviour of all prepare scripts: help, one-line errors, no incomplete files."""

import importlib
import json
import signal
import subprocess
import sys

import pytest
from script_runs import SCRIPTS, files_below, run_script


@pytest.fixture
def script_io(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("script_io")


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("prepare_*.py")))
def test_help(script):
    done = run_script(script, "--help")
    assert done.returncode == 0
    assert "usage:" in done.stdout
    assert f"datasets/{script}" in (SCRIPTS / "README.md").read_text()


@pytest.mark.parametrize("script", ["prepare_lvis_val_5k.py", "prepare_lvis_cocofied.py"])
@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (None, "no such file; give the path of the published annotation file."),
        ("{", "is not valid JSON"),
        ('{"images": []}', "has no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": []}', "give "),
    ],
)
def test_lvis_scripts_on_bad_input(tmp_path, script, content, fragment):
    if content is not None:
        (tmp_path / "in.json").write_text(content)
    before = files_below(tmp_path)
    done = run_script(script, "--input", tmp_path / "in.json", "--output", tmp_path / "out" / "x.json")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert str(tmp_path / "in.json") in done.stderr
    assert fragment in done.stderr
    assert files_below(tmp_path) == before


def test_a_failed_write_leaves_the_old_file(script_io, tmp_path):
    path = tmp_path / "a.json"
    script_io.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        script_io.write_json(path, {"a": [1] * 100_000, "b": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert files_below(tmp_path) == ["a.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, number):
    code = (
        f"import signal, sys, time; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "from pathlib import Path\n"
        "import script_io\n"
        "def main():\n"
        f"    with script_io.atomic_path(Path({str(tmp_path / 'a.json')!r})) as temporary:\n"
        "        temporary.write_text('half')\n"
        "        print('writing', flush=True)\n"
        "        for _ in range(1000):\n"  # one long sleep would miss a signal that comes just before it begins
        "            time.sleep(0.05)\n"
        "script_io.run(main)\n"
    )
    (tmp_path / "a.json").write_text("old")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    assert len(files_below(tmp_path)) == 2
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode in (130, 143)
    assert files_below(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"
