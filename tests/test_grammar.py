"""The tree's own grammar: the same names for the same roles, and names that say what is in a file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIBLINGS = ("eva_classification", "eva_clip", "eva_video", "eva_semseg")
PACKAGES = ("eva_backbone", "detectron2_ext", *SIBLINGS)
FILES = sorted(file.relative_to(ROOT) for package in PACKAGES for file in (ROOT / package).rglob("*.py"))

# What every task has under the same name; detection's models are recipes alone.
ROLES = ("commands/demo.py", "data/made_batch.py", "data/mapper.py", "prediction/predictor.py", "prediction/task.py")
# And what every sibling has of its own, where detection has Detectron2's.
SIBLING_ROLES = ("models.py", "data/batches.py", "data/*_records.py", "data/test_loader.py", "**/transforms.py")
EMPTY_NAMES = {"base", "common", "core", "functions", "helper", "helpers", "misc", "tools", "util", "utils"}
MOST_LINES = 250


def classes(file: Path) -> list[str]:
    return [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("package", ["detectron2_ext", *SIBLINGS])
def test_the_same_role_has_the_same_name(package):
    missing = [role for role in ROLES if not (ROOT / package / role).is_file()]
    assert not missing
    if package in SIBLINGS:
        assert not [role for role in SIBLING_ROLES if not list((ROOT / package).glob(role))]
    assert "Task" in {name[-4:] for name in classes(Path(package, "prediction/task.py"))}
    assert {"MadeBatch"} <= set(classes(Path(package, "data/made_batch.py")))


def test_roles_are_in_files_of_their_name():
    """An evaluator is in evaluation/*_evaluator.py, a predictor in predictor.py, a loader of evaluations likewise."""
    misplaced = []
    for file in FILES:
        for name in classes(file):
            fits = {
                "Evaluator": file.parent.name != "evaluation" or file.stem.endswith("_evaluator"),
                "Predictor": file.parent.name != "prediction" or file.stem == "predictor",
                "EvalLoader": file.stem == "test_loader",
                "Mapper": file.stem.endswith(("mapper", "mappers", "test_loader")),
            }
            misplaced += [f"{file}: {name}" for role, right in fits.items() if name.endswith(role) and not right]
    assert not misplaced


@pytest.mark.parametrize("project", ["CLIP", "Classification", "SemSeg", "Video", "ViTDet"])
def test_recipes_have_the_same_parts(project):
    configs = ROOT / "projects" / project / "configs"
    assert all((configs / "common" / name).is_file() for name in ("optim.py", "train.py"))
    assert list((configs / "common").glob("*_loader*.py"))
    assert list((configs / "common/models").glob("*.py"))
    assert list((configs / "demo").glob("*.py"))


def test_names_say_what_is_in_a_file():
    assert not [str(file) for file in FILES if file.stem in EMPTY_NAMES]


def test_files_are_short():
    assert not [str(file) for file in FILES if len((ROOT / file).read_text().splitlines()) > MOST_LINES]


def test_tests_mirror_the_packages():
    folders = {file.parent.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py")}
    own = {Path(), Path("golden"), Path("golden/families")}
    assert not [str(folder) for folder in folders - own if not (ROOT / folder).is_dir()]


def test_names_of_test_files_are_unique():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
