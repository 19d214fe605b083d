"""The public names: what packages export, the keys of `train`, and the options of commands.

A name that disappears breaks somebody's program; see CONTRIBUTING.md for how to rename one. After adding names, run
`python tests/test_public_names.py`, which writes the list.
"""

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.version import Version

from eva_engine.commands.verbs import find_verbs
from eva_engine.config.train_settings import TRAIN_SETTINGS

ROOT = Path(__file__).parents[1]
LIST = ROOT / "tests" / "data" / "public_names.json"
PREFIXES = ("eva_", "detectron2_ext")
NO_PUBLIC_NAMES = ("eva_demos",)


def exported_names() -> dict[str, list[str]]:
    """Return the names in `__all__` of every package that has one, and those that are deprecated."""
    exported = {}
    for package in packages():
        names = getattr(package, "__all__", None)
        if names is not None:
            exported[package.__name__] = sorted([*names, *getattr(package, "DEPRECATED", {})])
    return exported


def packages() -> Iterator[ModuleType]:
    """Yield the packages that may have public names."""
    for file in sorted(ROOT.glob("*/**/__init__.py")):
        package = ".".join(file.parent.relative_to(ROOT).parts)
        if package.startswith(PREFIXES) and not package.startswith(NO_PUBLIC_NAMES):
            yield import_module(package)


def keys(settings: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield the full name of every setting, such as train.amp.dtype."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from keys(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}"


def options() -> dict[str, list[str]]:
    """Return the options of each command, as its parser has them when the command begins."""
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        parsers.append(parser)
        raise SystemExit

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        for name, verb in find_verbs().items():
            with suppress(SystemExit):
                import_module(verb.module).main([*verb.arguments])
            found[name] = sorted(flag for flag in parsers.pop()._option_string_actions if flag.startswith("--"))
    return found


def public_names() -> dict[str, Any]:
    return {
        "exported": exported_names(),
        "recipe keys": {"train": sorted(keys(TRAIN_SETTINGS, "train"))},
        "options": options(),
    }


@pytest.fixture(scope="module")
def current():
    return public_names()


@pytest.mark.parametrize("kind", ["exported", "recipe keys", "options"])
def test_public_names_are_those_of_the_list(current, kind):
    listed = json.loads(LIST.read_text())[kind]
    for owner in {*listed, *current[kind]}:
        names, before = set(current[kind].get(owner, [])), set(listed.get(owner, []))
        assert not before - names, f"{owner}: removed without a deprecation, see CONTRIBUTING.md"
        assert not names - before, f"{owner}: new; run python tests/test_public_names.py"


def deprecated_names() -> list[Any]:
    found = []
    for package in packages():
        for name, deprecated in getattr(package, "DEPRECATED", {}).items():
            found.append(pytest.param(package, name, deprecated, id=f"{package.__name__}.{name}"))
    return found


@pytest.mark.parametrize(("package", "name", "deprecated"), deprecated_names())
def test_deprecated_name_works_and_says_what_replaces_it_and_when_it_goes(package, name, deprecated):
    with pytest.warns(FutureWarning) as warned:
        assert getattr(package, name) is getattr(import_module(f"{package.__name__}.{deprecated.module}"), name)
    message = str(warned[0].message)
    assert message.startswith(f"{package.__name__}.{name} is deprecated and will be removed in version ")
    assert deprecated.replacement in message
    assert name not in package.__all__, "from package import * would warn"


@pytest.mark.parametrize(("package", "name", "deprecated"), deprecated_names())
def test_deprecated_name_is_removed_in_the_version_that_its_warning_names(package, name, deprecated):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert Version(deprecated.removed_in) > Version(version), f"remove {package.__name__}.{name}"


if __name__ == "__main__":
    LIST.write_text(json.dumps(public_names(), indent=1) + "\n")
