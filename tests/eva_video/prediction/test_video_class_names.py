"""`dataloader.class_names` names the classes of the annotation files and of the outputs."""

from pathlib import Path

import pytest
from detectron2.config import instantiate

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_video.prediction import find_class_names

RECIPE = str(Path(__file__).parents[3] / "projects/Video/configs/kinetics400.py")
NAMES = ("falling", "rising", "still")


@pytest.mark.parametrize("classes", [list(NAMES), {"still": 2, "falling": 0, "rising": 1}, "classes.csv"])
def test_names_of_custom_classes(tmp_path, monkeypatch, classes):
    monkeypatch.chdir(tmp_path)
    Path("classes.csv").write_text("id,name\n1,rising\n0,falling\n2,still\n")
    Path("list.csv").write_text("path,label\na.mp4,still\nb.mp4,0\nc.mp4,rising\n")
    lists = [f"dataloader.{part}.dataset.annotations=list.csv" for part in ("train", "test")]
    cfg = load_config(RECIPE, ["model.num_classes=3", *lists])
    cfg.dataloader.class_names = classes
    for part in ("train", "test"):
        records = instantiate(cfg.dataloader[part].dataset)
        assert [records[index]["label"] for index in range(3)] == [2, 0, 1]
    assert find_class_names(cfg, 3) == NAMES
    with pytest.raises(InputError, match=r"dataloader\.class_names has 3 class names, but the model has 4"):
        find_class_names(cfg, 4)


@pytest.mark.parametrize(
    ("classes", "names"),
    [(None, ("class 0", "class 1")), ({"late": 1}, ("class 0", "late")), ([1, 2], ("1", "2"))],
)
def test_outputs_without_a_name(classes, names):
    cfg = load_config(RECIPE)
    cfg.dataloader.class_names = classes
    assert find_class_names(cfg, 2) == names
