"""Conventions of the source tree: the same role has the same name in all tasks, and tests mirror the packages."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIBLINGS = ("eva_classification", "eva_clip", "eva_video", "eva_semseg")
PACKAGES = ("eva_backbone", "eva_engine", "eva_deploy", "eva_vision", "eva_demos", "detectron2_ext", *SIBLINGS)

# Files that every task has under the same name.
ROLES = ("task.py", "data/mapper.py", "data/synthetic_batch.py", "prediction/predictor.py", "prediction/task.py")
# Detection does without these: its models are recipes, and it uses Detectron2's loaders.
SIBLING_ROLES = ("models.py", "data/collate.py", "data/*_dataset.py", "evaluation/*_evaluator.py")
EMPTY_NAMES = {"base", "common", "core", "functions", "helper", "helpers", "misc", "tools", "util", "utils"}


@pytest.mark.parametrize("package", ["detectron2_ext", *SIBLINGS])
def test_the_same_role_has_the_same_name(package):
    roles = ROLES + SIBLING_ROLES if package in SIBLINGS else ROLES
    assert not [role for role in roles if not list((ROOT / package).glob(role))]


@pytest.mark.parametrize("task", ["classification", "clip", "detection", "segmentation", "video"])
def test_every_task_has_a_demo(task):
    assert (ROOT / "eva_demos" / task / "demo.py").is_file()


@pytest.mark.parametrize("project", ["CLIP", "Classification", "SemSeg", "Video", "ViTDet"])
def test_recipes_have_the_same_parts(project):
    configs = ROOT / "projects" / project / "configs"
    assert all((configs / "common" / name).is_file() for name in ("optim.py", "train.py"))
    assert list((configs / "common").glob("*_loader*.py"))
    assert list((configs / "common/models").glob("*.py"))
    assert list((configs / "demo").glob("*.py"))


def test_file_names_say_what_is_in_a_file():
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert not [str(file) for file in files if file.stem in EMPTY_NAMES]


def test_test_folders_mirror_the_packages():
    folders = {file.parent.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py")}
    without_package = {Path(), Path("golden"), Path("golden/families")}
    assert not [str(folder) for folder in folders - without_package if not (ROOT / folder).is_dir()]


def test_names_of_test_files_are_unique():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
