"""The script that runs the documented commands: what it finds, what it leaves out and why, what it counts as failed."""

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "documented_commands.py"


@pytest.fixture(scope="module")
def documented():
    spec = importlib.util.spec_from_file_location("documented_commands", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PAGE = """
```
git clone it
python -m tools train \\
    --config-file a.py   # a comment
```
```python
print("x")
```
```bash
python -m tools train --config-file a.py
make demo
```
```json
{"python": 1}
```
"""


def test_commands_are_found_once(tmp_path, documented):
    (tmp_path / "docs" / "howto").mkdir(parents=True)
    (tmp_path / "README.md").write_text(PAGE)
    (tmp_path / "docs" / "howto" / "b.md").write_text(PAGE + "```\n$ eva-vision\n```\n")
    found = [(command.page, str(command)) for command in documented.commands(tmp_path)]
    assert found == [
        ("README.md", "python -m tools train --config-file a.py"),
        ("README.md", 'python block: print("x")'),
        ("README.md", "make demo"),
        ("docs/howto/b.md", "eva-vision"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("python -m tools plan --config-file there.py", ""),
        ("python -m tools plan --config-file gone.py", "gone.py is not here"),
        ("python -m tools predict --weights there.pth --input photos/ --output out/", "photos/ is not here"),
        ("python -m tools predict --weights there.pth --input there.py --output out/", ""),
        ("python -m tools train train.init_checkpoint=gone.pth", "gone.pth is not here"),
        ("python -m tools train train.output_dir=output/mine/", ""),
        ("python -m tools export there.pth made.pth", ""),
        ("python -m tools export gone.pth made.pth", "gone.pth is not here"),
        ("python -m tools train --num-gpus 8 --config-file there.py", "for several GPUs"),
        ("python -m tools train --num-gpus 1 --config-file there.py", ""),
        ("torchrun -m tools train", "for several GPUs"),
        ("make test", "make demo and make test run before, the others are long"),
        ("python -m tools train --config-file <yours>", "has a placeholder"),
        ("eva-vision", ""),
    ],
)
def test_what_cannot_run_is_left_out(tmp_path, documented, line, reason):
    for name in ("there.py", "there.pth"):
        (tmp_path / name).touch()
    command = documented.Command("README.md", tuple(shlex.split(line)))
    assert documented.reason_to_skip(command, tmp_path) == reason


def test_python_blocks_that_read_absent_files_are_left_out(tmp_path, documented):
    command = documented.Command("README.md", ('load("eva.pt", "https://a.org/b.pt")',), python=True)
    assert documented.reason_to_skip(command, tmp_path) == "eva.pt is not here"
    (tmp_path / "eva.pt").touch()
    assert documented.reason_to_skip(command, tmp_path) == ""


@pytest.mark.parametrize(
    ("code", "outcome", "detail"),
    [
        ("pass", "ran", " s"),
        ("import sys; sys.exit('error: x')", "FAILED", "status 1: error: x"),
        (
            "import sys; print('error: the folder a does not exist', file=sys.stderr); sys.exit(2)",
            "skipped",
            "the folder a",
        ),
        ("import sys; sys.exit('error: the folder a does not exist')", "FAILED", "status 1"),
        ("import sys; print('error: an unknown key', file=sys.stderr); sys.exit(2)", "FAILED", "status 2"),
        ("import time; time.sleep(60)", "FAILED", "not done after 1 s"),
    ],
)
def test_outcomes(tmp_path, documented, code, outcome, detail):
    found = documented.run(
        documented.Command("README.md", (code,), python=True), tmp_path, 60 if "sleep" not in code else 1
    )
    assert found[0] == outcome
    assert detail in found[1]
