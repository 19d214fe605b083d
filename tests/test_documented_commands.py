"""The commands of README.md and docs/ are valid: verbs, options, recipes, keys, files; and so are links and paths."""

import argparse
import re
import runpy
import sys
import types
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from detectron2.config import instantiate
from documented_pages import (
    EXCERPTS,
    EXPLAINED,
    PAGES,
    PROSE,
    ROOT,
    TEXTS,
    Command,
    anchors,
    commands,
    links,
    python_blocks,
    web_addresses,
)

from eva_backbone.errors import InputError
from eva_engine.commands.verbs import find_verbs
from eva_engine.config import load_config

VERBS = find_verbs()
ALL_COMMANDS = [command for page in PAGES for command in commands(page)]
COMMANDS = [command for command in ALL_COMMANDS if command.starter != ("make",)]
WITH_RECIPE = [command for command in COMMANDS if command.option("--config-file")]
SETTINGS = [(page, found) for page in PAGES for found in re.findall(r"`([^`\n]+=[^`\n]+)`", PROSE[page])]
RESULTS = "docs/published_results.md"
# A setting in the text of a page must be valid for one of these.
RECIPES_IN_TEXT = (
    "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py",
    "projects/Classification/configs/in1k_336.py",
    "projects/CLIP/configs/eva_clip_g14_captions.py",
    "projects/Video/configs/kinetics400.py",
    "projects/SemSeg/configs/ade20k_ss.py",
    "projects/ViTDet/configs/timm/cascade_mask_rcnn_timm_vit.py",
    "projects/ViTDet/configs/custom/tiny_cpu.py",
    "projects/SemSeg/configs/timm/mask2former_timm_vit.py",
)


class Parsed(Exception):
    """Raised after a command has parsed its arguments, before it does anything."""


def parse(command: Command, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Parse a command with its own parser, which exits at an unknown argument."""

    def stop_after(parse):
        def parse_and_stop(self, *args, **keywords):
            raise Parsed(parse(self, *args, **keywords))

        return parse_and_stop

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stop_after(getattr(argparse.ArgumentParser, name)))
    with pytest.raises(Parsed) as parsed:
        start(command, monkeypatch)
    return parsed.value.args[0]


def start(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    if not command.name.endswith(".py"):
        verb = VERBS[command.name]
        import_module(verb.module).main([*verb.arguments, *command.arguments])
        return
    monkeypatch.setattr(sys, "argv", [command.name, *command.arguments])
    monkeypatch.syspath_prepend(str((ROOT / command.name).parent))
    runpy.run_path(str(ROOT / command.name), run_name="__main__")


def recipe_of(command: Command) -> tuple[str, list[str]]:
    """Return the recipe and all overrides; for the config.yaml of a run, those of the command that started the run."""
    config, overrides = command.option("--config-file"), command.overrides
    if config.startswith("output/"):
        folder = str(Path(config).parent)
        makers = [c for c in commands(command.page) if c.name == "train" and folder in c.writes and c is not command]
        makers = [c for c in makers if c.option("--config-file") != config]
        assert makers, f"no command of the page makes {config}"
        return recipe_of(makers[0])[0], makers[0].overrides + overrides
    return config, overrides


@cache
def loaded(config: str, overrides: tuple[str, ...]):
    return load_config(str(ROOT / config), overrides)


@cache
def build_on_meta(config: str, of_model: tuple[str, ...]) -> None:
    """Build the model of a recipe with overrides of the model."""
    model = loaded(config, of_model).model
    if "teacher" in model:
        model.teacher = None  # the teacher of pre-training would read its weights
    with torch.device("meta"):
        instantiate(model)


@pytest.mark.parametrize("page", PAGES)
def test_languages_of_blocks_are_tested(page):
    tested = {"python", "toml"} if page == EXCERPTS else {"python"}
    if page == "docs/index.md":
        tested = {"{toctree}"}  # tests/test_site.py
    assert set(re.findall(r"^ *```(.+)$", TEXTS[page], flags=re.M)) <= tested


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_options_are_valid(command, monkeypatch):
    parse(command, monkeypatch)


@pytest.mark.parametrize("command", WITH_RECIPE, ids=str)
def test_recipes_exist_take_the_overrides_and_build(command):
    config, overrides = recipe_of(command)
    assert (ROOT / config).is_file()
    cfg = loaded(config, tuple(overrides))
    if command.name == "train":
        instantiate(cfg.lr_multiplier)  # its warm-up must fit the run
    build_on_meta(
        config, tuple(change for change in overrides if change.startswith(("model.", "dataloader.class_names")))
    )


@pytest.mark.parametrize("page", PAGES)
def test_files_are_written_on_the_page_or_explained(page):
    written: set[str] = set()
    if page.endswith("custom_data.md"):
        written.add("output/mine")  # its first block applies to all runs that follow
    written |= set(re.findall(r'Path\("([^"]+)"\)', "".join(python_blocks(page))))
    for command in commands(page):
        for file in command.reads:
            inside = [folder for folder in written if file == folder or file.startswith(f"{folder}/")]
            assert inside or file in EXPLAINED or (ROOT / file).is_file(), f"{file}: {command}"
        written |= set(command.writes)


def test_every_published_row_has_its_command():
    rows = re.findall(r"^\| ([A-Z]\d+) \|", TEXTS[RESULTS], flags=re.M)
    labels = [command.label for command in commands(RESULTS)]
    named = [row for label in labels for row in re.findall(r"^[A-Z]\d+(?=[:,])", label)]
    assert len(rows) == 33
    assert Counter(rows) == Counter(named)
    assert len({command.arguments for command in commands(RESULTS)}) == len(labels)


def test_published_figures_are_above_their_commands():
    expected = {}
    for table in re.findall(r"(?:^\|.*\n)+", TEXTS[RESULTS], flags=re.M):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        for row in rows:
            if re.fullmatch(r"[A-Z]\d+", row[0]):
                cells = list(zip(head, row, strict=True))[2:]
                figures = [f"{name} = {value}" for name, value in cells if not name.startswith("weights")]
                expected[row[0]] = "; ".join(figures)
    found = re.findall(r"^# ([A-Z]\d+)(?:, trains the head)?: (.*)$", TEXTS[RESULTS], flags=re.M)
    assert len(found) == 33
    assert dict(found) == expected


def test_every_recipe_is_in_a_command():
    recipes = {str(path.relative_to(ROOT)) for path in ROOT.glob("projects/*/configs/**/*.py")}
    recipes = {path for path in recipes if not {"common", "demo"} & set(Path(path).parts)}
    assert recipes - {recipe_of(command)[0] for command in WITH_RECIPE} == set()


@pytest.mark.parametrize(("page", "overrides"), SETTINGS)
def test_settings_in_the_text_are_valid(page, overrides, monkeypatch):
    optional = types.ModuleType("bitsandbytes.optim")
    optional.PagedAdamW8bit = lambda **_: None
    for name in ("bitsandbytes", "bitsandbytes.optim"):
        monkeypatch.setitem(sys.modules, name, optional)
    words = [word.strip("'") for word in overrides.split(" ")]
    if not all(re.match(r"[a-z]\w+\.[\w.]+=", word) for word in words):
        return  # Python code or an option
    reasons = []
    for recipe in RECIPES_IN_TEXT:
        try:
            load_config(str(ROOT / recipe), words)
        except InputError as error:
            reasons.append(str(error))
    assert len(reasons) < len(RECIPES_IN_TEXT), f"{page}: {reasons[0]}"


def test_verbs_in_the_text_exist():
    named = {name for text in PROSE.values() for name in re.findall(r"python -m tools ([a-z][\w-]*)", text)}
    assert named <= set(VERBS)
    shown = {command.name for command in COMMANDS}
    assert set(VERBS) - shown == set()


def test_make_targets_exist():
    made = {command.name for command in ALL_COMMANDS if command.starter == ("make",)}
    made |= {name for text in PROSE.values() for name in re.findall(r"`make (\w+)", text)}
    assert {"demo", "test"} <= made <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M))


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in python_blocks(page):
        exec(compile(block, page, "exec"), {})


@pytest.mark.parametrize("page", ["docs/architecture.md", *(page for page in PAGES if page.startswith("docs/design/"))])
def test_python_files_in_the_text_exist(page):
    folders = ("eva_*", "detectron2_ext", "tests", "tools", "projects")
    files = [f"/{path.relative_to(ROOT)}" for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]
    named = re.findall(r"(?<![\w*/.-])[\w./-]*\w\.py\b", TEXTS[page])
    assert not [name for name in named if not any(file.endswith(f"/{name}") for file in files)]


OTHER_PAGES = ("CHANGELOG.md", "SECURITY.md", "THIRD_PARTY.md", "benchmarks/NOTES.md", "benchmarks/RESULTS.md")


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES])
def test_links_lead_somewhere(page):
    for path, anchor in links(page):
        assert path.exists(), path
        assert not anchor or anchor in anchors(path), f"{path.name}#{anchor}"


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES])
def test_web_addresses_are_well_formed(page):
    for address in web_addresses(page):
        parts = urlsplit(address)
        assert parts.scheme in ("http", "https"), address
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), address
        assert re.fullmatch(r"[\w./~%+@-]*", parts.path), address
        assert not address.endswith((".", ",")), address
