"""What README.md and datasets/README.md tell a user to type exists, and its options and override keys are real."""

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from detectron2_ext.commands import verbs
from detectron2_ext.engine.recipe import load_config

ROOT = Path(__file__).parent.parent
TEXTS = {name: (ROOT / name).read_text() for name in ("README.md", "datasets/README.md")}


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every shell command of the code blocks, split into words, continuation lines joined."""
    lines = [
        line
        for text in TEXTS.values()
        for block in code_blocks(text, "")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line for line in words if line and line[0] in ("python", "torchrun", "make")]


def own_part(line: list[str]) -> list[str]:
    """[verb, its arguments], or [script, its arguments], without the starter (python, torchrun) and its options."""
    if "-m" in line:
        return line[line.index("tools", line.index("-m")) + 1 :]
    return line[next(i for i, word in enumerate(line) if word.endswith(".py")) :]


OWN = [own_part(line) for line in commands() if line[0] != "make"]
MAKE = [line for line in commands() if line[0] == "make"]
VERBS = {name: verb for group in verbs.VERBS.values() for name, verb in group.items()}


@pytest.mark.parametrize("line", OWN, ids=" ".join)
def test_commands_parse(line):
    name, *arguments = line
    if name.endswith(".py"):
        assert (ROOT / name).exists()
        return
    verb = VERBS[name]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        importlib.import_module(verb.module).main(["--help"])
    assert ended.value.code == 0
    options = [word for word in arguments if word.startswith("--")]
    assert [option for option in options if option not in printed.getvalue()] == []
    if "--config-file" in arguments:
        config = arguments[arguments.index("--config-file") + 1]
        if not config.startswith("output/"):  # the recipe that a run leaves behind
            load_config(str(ROOT / config), [word for word in arguments if re.match(r"[\w.]+=", word)])


@pytest.mark.parametrize(
    "overrides", re.findall(r"^\| .*`'?(train\.[^`]+?)'?`", TEXTS["README.md"], flags=re.MULTILINE)
)
def test_changes_in_tables_are_overrides(overrides):
    load_config(str(ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"), overrides.split(" "))


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= {line[1] for line in MAKE}
    for line in MAKE:
        assert re.search(rf"^{line[1]}:", makefile, flags=re.MULTILINE), line


@pytest.mark.parametrize("block", code_blocks(TEXTS["README.md"], "python"))
def test_python_blocks_run(block):
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)\)", TEXTS[name]):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), target
