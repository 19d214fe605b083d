"""The wheel contains the packages and their recipes and nothing else, and declares the dependencies of its code."""

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("detectron2_ext", "eva_backbone", "eva_classification", "eva_clip"),
    *("eva_demos", "eva_deploy", "eva_engine", "eva_semseg", "eva_video", "eva_vision"),
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = packages_distributions()
NOT_ON_THE_REGISTRY = {"detectron2"}


def normal(name: str) -> str:
    """Return the normalised name of a distribution, without version, extras and markers."""
    for stop in "[<>=!~; ":
        name = name.partition(stop)[0]
    return name.lower().replace("_", "-").replace(".", "-")


BASE = {normal(line) for line in PROJECT["dependencies"]}
BY_EXTRA = {extra: {normal(line) for line in lines} for extra, lines in PROJECT["optional-dependencies"].items()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> list[str]:
    """Build the wheel in a copy of this tree, and return the names of its files."""
    folder = tmp_path_factory.mktemp("tree")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
        elif not path.name.startswith(".") and path.name not in ("output", "build", "dist"):
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("*.egg-info", "golden"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True, timeout=400)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file).namelist()


def tracked(*folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".csv", ".html")
    }


def test_wheel_contains_only_packages_and_recipes(wheel):
    files = {name for name in wheel if ".dist-info/" not in name}
    assert files == tracked(*PACKAGES) | {f"eva_engine/{name}" for name in tracked("projects")}
    metadata = {name.partition(".dist-info/")[2] for name in wheel if ".dist-info/" in name}
    assert metadata == {"METADATA", "WHEEL", "RECORD", "top_level.txt", "entry_points.txt", "licenses/LICENSE"}


def imports(folder: str) -> dict[str, str]:
    """Return the third-party packages that the code in a folder imports, each with a file that imports it."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            found |= {name.partition(".")[0]: str(path) for name in names}
    return {
        name: path
        for name, path in found.items()
        if name not in {*sys.stdlib_module_names, *PACKAGES, *NOT_ON_THE_REGISTRY}
    }


def distributions(module: str) -> set[str]:
    return {normal(name) for name in DISTRIBUTIONS.get(module, [module])}


@pytest.mark.parametrize("folder", [*PACKAGES, "projects"])
def test_imports_are_declared(folder):
    declared = BASE.union(*BY_EXTRA.values())
    undeclared = {name: path for name, path in imports(folder).items() if not distributions(name) & declared}
    assert undeclared == {}


def test_backbone_imports_only_base_dependencies():
    # xFormers is imported only when its kernel is chosen
    assert {name for name in imports("eva_backbone") if not distributions(name) & BASE} == {"xformers"}
