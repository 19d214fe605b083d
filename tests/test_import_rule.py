"""Imports point one way: the backbone, the engine, exported models, the tasks, and what uses the tasks.

    eva_backbone <- eva_engine <- eva_deploy <- detectron2_ext, eva_classification, eva_clip, eva_video, eva_semseg
                                             <- projects, eva_vision, eva_demos, tools

A package imports only itself and packages to its left, anywhere in a file: at the top, in functions, and under
`if TYPE_CHECKING`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TASKS = {"detectron2_ext", "eva_classification", "eva_clip", "eva_video", "eva_semseg"}
SHARED = {"eva_backbone", "eva_engine", "eva_deploy"}
PACKAGES = SHARED | TASKS | {"projects", "eva_vision", "eva_demos", "tools"}

# What each package may import in addition to itself.
ALLOWED: dict[str, set[str]] = {
    "eva_backbone": set(),
    "eva_engine": {"eva_backbone"},
    "eva_deploy": {"eva_backbone", "eva_engine"},
    **dict.fromkeys(TASKS, SHARED),
    # Classifiers of images and of videos share losses, metrics and class names; CLIP's image tower is a classifier's.
    "eva_clip": SHARED | {"eva_classification"},
    "eva_video": SHARED | {"eva_classification"},
    "projects": SHARED | TASKS,
    "eva_vision": SHARED | TASKS,
    "eva_demos": SHARED | TASKS,
    "tools": SHARED | TASKS,
}
DEMO_RECIPES = "projects/*/configs/demo/*.py"  # these alone may also import eva_demos


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(file: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each module that a file imports, directly or by `import_module("...")`."""
    folders = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parent = folders[: len(folders) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*parent, *filter(None, [node.module])])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and not name.value.startswith("."):
                yield node.lineno, name.value


def wrong_imports(package: str) -> list[str]:
    wrong = []
    for file in python_files(package):
        path = file.relative_to(ROOT)
        allowed = {package} | ALLOWED[package]
        if path.match(DEMO_RECIPES):
            allowed |= {"eva_demos"}
        for line, module in imported_modules(file):
            imported = module.partition(".")[0]
            if imported in PACKAGES and imported not in allowed:
                wrong.append(f"{path}:{line} imports {module}")
    return wrong


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_point_one_way(package):
    assert not wrong_imports(package)


def docstrings(module: ast.Module) -> set[ast.AST]:
    """Return the docstrings of a module and of its classes and functions."""
    found: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(node.value)
    return found


def test_engine_does_not_name_tasks_or_demos():
    """References to modules of a task belong in its own task.py; docstrings may give examples."""
    name = re.compile(rf"\b({'|'.join(sorted(TASKS | {'eva_demos'}))})\b")
    found = []
    for file in python_files("eva_engine"):
        module = tree(file)
        ignored = docstrings(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in ignored:
                found += [f"{file.relative_to(ROOT)}:{node.lineno} {match}" for match in name.findall(node.value)]
    assert not found


def code_lines(file: Path) -> int:
    """Return the number of lines that are neither blank nor a comment."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return sum(1 for line in lines if line and not line.startswith("#"))


def test_no_package_is_larger_than_a_third_of_the_code():
    """Of all code except tests."""
    folders = PACKAGES | {"benchmarks", "datasets"}
    sizes = {folder: sum(code_lines(file) for file in python_files(folder)) for folder in folders}
    largest = max(sizes, key=lambda folder: sizes[folder])
    assert sizes[largest] <= sum(sizes.values()) / 3, f"{largest}: {sizes[largest]} of {sum(sizes.values())} lines"
