"""What README.md and datasets/README.md tell a user to type exists, and its options and override keys are real."""

import contextlib
import io
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

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


def as_python(line: list[str]) -> list[str]:
    """torchrun's own options left out."""
    return (
        line if line[0] == "python" else ["python", *line[next(i for i, w in enumerate(line) if w.endswith(".py")) :]]
    )


PYTHON = [as_python(line) for line in commands() if line[0] != "make"]
MAKE = [line for line in commands() if line[0] == "make"]


def run_help(script: str) -> str:
    """What the command prints; in this process, which has imported most of what it needs."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, "--help"])
        patch.syspath_prepend(str((ROOT / script).parent))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / script), run_name="__main__")
    assert ended.value.code == 0
    return printed.getvalue()


@pytest.mark.parametrize("line", PYTHON, ids=" ".join)
def test_python_commands_parse(line):
    script, arguments = line[1], line[2:]
    from detectron2_ext.engine.recipe import load_config

    if script == "tools/lazyconfig_train_net.py":
        from detectron2_ext.engine.command_line import parse_arguments

        args = parse_arguments(arguments)
        if not args.config_file.startswith("output/"):  # the recipe that a run leaves behind
            load_config(str(ROOT / args.config_file), args.opts)
    else:
        options = [word for word in arguments if word.startswith("--")]
        text = run_help(script)
        assert [option for option in options if option not in text] == []
        if "--config-file" in arguments:
            config = arguments[arguments.index("--config-file") + 1]
            if not config.startswith("output/"):
                load_config(str(ROOT / config), [word for word in arguments if re.match(r"[\w.]+=", word)])


@pytest.mark.parametrize(
    "overrides", re.findall(r"^\| .*`'?(train\.[^`]+?)'?`", TEXTS["README.md"], flags=re.MULTILINE)
)
def test_changes_in_tables_are_overrides(overrides):
    from detectron2_ext.engine.recipe import load_config

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
