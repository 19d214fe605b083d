"""The options --train-data, --val-data and --val-share of `train` and `evaluate`, and the command import-data."""

import argparse
import json
import logging
from pathlib import Path

import pytest
from annotated_data import save_images, voc_xml
from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

from detectron2_ext.commands.import_data import main
from detectron2_ext.custom_data import CustomData
from detectron2_ext.data import get_dataset_dicts
from detectron2_ext.importing import read_data
from detectron2_ext.importing.conversion import DataRequest, convert_once
from detectron2_ext.importing.parts import align_categories, divide
from eva_backbone.errors import InputError
from eva_engine.config import load_config

CONFIG = str(Path(__file__).parents[3] / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_b_100ep.py")
OPTIONS = (
    *("train_data", "val_data", "val_share", "train_json", "train_images", "val_json", "val_images"),
    *("leave_out_category", "eval_only", "data_format", "rename_class", "pixels_from"),
)


def _voc(folder: Path, objects: dict[str, list[str]]) -> Path:
    """Write a VOC file and an image for each name, with objects of the given classes."""
    save_images(folder, list(objects))
    for name, classes in objects.items():
        boxes = [(class_name, (1, 1, 10, 10), 0) for class_name in classes]
        (folder / f"{name}.xml").write_text(voc_xml(f"{name}.png", boxes))
    return folder


def _custom_data(tmp_path: Path, training: bool = True, **options: object):
    """Apply the options to a recipe and return its config."""
    cfg = load_config(CONFIG, [f"train.output_dir={tmp_path / 'run'}"])
    if not training:
        cfg.dataloader.categories = [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    args = argparse.Namespace(**dict.fromkeys(OPTIONS) | {"eval_only": not training} | options)
    data = CustomData.find(args, cfg)
    assert data is not None
    data.apply(cfg, training)
    return cfg


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_data_is_converted_once_and_the_run_resumes_without_it(tmp_path, caplog):
    folder = _voc(tmp_path / "voc", {str(number): ["nut"] * 2 + ["bolt"] * (number % 2) for number in range(10)})
    before = _names(folder)
    with caplog.at_level(logging.INFO):
        cfg = _custom_data(tmp_path, train_data=str(folder), val_share=0.2)
    assert "Pascal VOC: 10 XML files" in caplog.text
    assert (cfg.model.roi_heads.num_classes, cfg.dataloader.categories[0].name) == (2, "bolt")
    train, val = (get_dataset_dicts(f"custom_{part}", filter_empty=False) for part in ("train", "val"))
    assert (len(train), len(val)) == (8, 2)
    assert [record["file_name"] for record in val] == sorted(record["file_name"] for record in val)
    assert sum(len(record["annotations"]) for record in val) == 5  # one image with a bolt, one without
    assert _names(folder) == before
    (imported,) = (tmp_path / "run/data").iterdir()
    files = _names(imported)
    assert files == ["import_report.json", "parts.json", "train.json", "val.json"]
    times = [path.stat().st_mtime_ns for path in sorted(imported.iterdir())]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        _custom_data(tmp_path, train_data=str(folder), val_share=0.2)
    assert "was converted before" in caplog.text
    assert [path.stat().st_mtime_ns for path in sorted(imported.iterdir())] == times
    # A resumed run has the paths in its config.
    stored = OmegaConf.create({"dataloader": {"custom_data": OmegaConf.to_container(cfg.dataloader.custom_data)}})
    args = argparse.Namespace(**dict.fromkeys(OPTIONS) | {"eval_only": False})
    assert CustomData.find(args, stored).train_json == str(imported / "train.json")
    # Other data, or another option, is converted anew.
    (folder / "0.xml").write_text(voc_xml("0.png", []))
    _custom_data(tmp_path, train_data=str(folder), val_share=0.2)
    _custom_data(tmp_path, train_data=str(folder), val_share=0.3)
    assert len(list((tmp_path / "run/data").iterdir())) == 3


def test_validation_data_gets_the_ids_of_the_training_data(tmp_path):
    train = _voc(tmp_path / "train", {"a": ["nut", "bolt"], "b": ["gear"]})
    val = _voc(tmp_path / "val", {"c": ["nut", "nut"]})
    cfg = _custom_data(tmp_path, train_data=str(train), val_data=str(val))
    assert MetadataCatalog.get("custom_val").thing_classes == ["bolt", "gear", "nut"]
    (record,) = get_dataset_dicts("custom_val")
    assert [annotation["category_id"] for annotation in record["annotations"]] == [2, 2]
    assert cfg.dataloader.evaluator.dataset_name == "custom_val"
    _voc(val, {"d": ["washer"]})
    with pytest.raises(InputError, match=r"val has classes that .*train does not have: 'washer' \(1 objects\)"):
        _custom_data(tmp_path, train_data=str(train), val_data=str(val))
    cfg = _custom_data(tmp_path, train_data=str(train), val_data=str(val), rename_class=["washer=gear"])
    assert len(get_dataset_dicts("custom_val")) == 2


def test_evaluation_uses_the_classes_of_the_run(tmp_path):
    val = _voc(tmp_path / "val", {"c": ["nut"]})
    _custom_data(tmp_path, training=False, val_data=str(val))
    (record,) = get_dataset_dicts("custom_val")
    assert [annotation["category_id"] for annotation in record["annotations"]] == [1]


def test_a_coco_file_is_used_as_it_is(tmp_path):
    folder = _voc(tmp_path / "voc", {"a": ["nut"]})
    assert main(["--input", str(folder), "--output", str(tmp_path / "coco")]) == 0
    file = tmp_path / "coco/all.json"
    cfg = _custom_data(tmp_path, train_data=str(file), train_images=str(folder))
    assert cfg.dataloader.custom_data.train_json == str(file)
    assert cfg.dataloader.evaluator is None


def test_bad_files_stop_the_run_or_are_skipped(tmp_path):
    folder = _voc(tmp_path / "voc", {"a": ["nut"], "b": ["nut"]})
    (folder / "b.xml").write_text("<annotation>")
    with pytest.raises(InputError, match=r"b\.xml is not valid XML.*set dataloader\.train\.mapper\.on_error=skip"):
        _custom_data(tmp_path, train_data=str(folder))
    assert list((tmp_path / "run/data").iterdir()) == []
    request = DataRequest(train=str(folder), skip_bad=True)
    parts = convert_once(request, tmp_path / "skipped", "")
    assert len(json.loads(Path(parts["train"].json_file).read_text())["images"]) == 1


def test_there_must_be_objects_to_train_on(tmp_path):
    folder = _voc(tmp_path / "voc", {"a": []})
    with pytest.raises(InputError, match="voc has no objects to train on; give annotated images"):
        _custom_data(tmp_path, train_data=str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rename_class": ["a=b"]}, "--rename-class is for --train-data and --val-data"),
        ({"train_data": ".", "val_json": "x"}, "cannot be combined"),
        ({"val_data": "."}, "there is no data to train on"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        _custom_data(tmp_path, **options)


def test_a_part_for_validation_excludes_a_share(tmp_path):
    for part in ("train", "valid"):
        _voc(tmp_path / "data" / part, {"a": ["nut"]})
    data = read_data(tmp_path / "data")
    with pytest.raises(InputError, match="has a part val of 1 images; omit --val-share"):
        divide(data, 0.1)
    before = data.parts["val"]
    align_categories(data, "val", data.class_names, "itself")
    assert data.parts["val"] is before


def test_the_command(tmp_path, capsys):
    folder = _voc(tmp_path / "voc", {"a": ["nut"], "b": ["nut", "Nut"]})
    command = ["--input", str(folder), "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert "'Nut' (1 objects) and 'nut' (2 objects) differ only by case" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--rename-class", "Nut=nut", "--val-share", "0.5"]) == 0
    assert "objects in train" in capsys.readouterr().out
    assert _names(tmp_path / "out") == ["import_report.json", "train.json", "val.json"]
    report = json.loads((tmp_path / "out/import_report.json").read_text())
    assert (report["format"], report["parts"]["train"]["images"]) == ("Pascal VOC", 1)
    assert main(["--input", str(folder), "--output", str(folder / "out")]) == 2
    assert "is in the folder of the data" in capsys.readouterr().err
    classes = ["--classes", "bolt,nut,Nut", "--rename-class", "Nut=Nut"]
    assert main(["--input", str(folder), "--output", str(tmp_path / "other"), *classes]) == 0
    categories = json.loads((tmp_path / "other/all.json").read_text())["categories"]
    assert categories == [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}, {"id": 3, "name": "Nut"}]
