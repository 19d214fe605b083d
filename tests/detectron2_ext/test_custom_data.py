"""Adapting recipes to custom data."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from detectron2_ext.custom_data import CustomData, use_custom_data
from detectron2_ext.data import get_dataset_dicts
from detectron2_ext.evaluation import COCOEvaluator
from detectron2_ext.prediction.detector_categories import find_categories
from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.config.class_list import save_categories, stored_categories
from eva_engine.prediction.categories import Categories, read_categories

CONFIGS = Path(__file__).parents[2] / "projects" / "ViTDet" / "configs"


@pytest.fixture
def custom_data(tmp_path: Path) -> CustomData:
    """Two images per split; one annotation of the validation data has a box without area."""
    parts = []
    for part in ("train", "val"):
        folder = tmp_path / part
        folder.mkdir()
        images = [{"id": i, "file_name": f"{i}.png", "width": 20, "height": 10} for i in (1, 2)]
        boxes = [[1, 1, 5, 5], [1, 1, 0 if part == "val" else 4, 5]]
        annotations = [
            {"id": i, "image_id": i, "category_id": 3, "bbox": box, "area": 25, "iscrowd": 0}
            for i, box in enumerate(boxes, start=1)
        ]
        for image in images:
            Image.new("RGB", (20, 10)).save(folder / image["file_name"])
        content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "nut"}]}
        (folder / "boxes.json").write_text(json.dumps(content))
        parts += [str(folder / "boxes.json"), str(folder)]
    return CustomData(*parts)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["dataloader.train.mapper.on_error=skip"], "skip"),
        (["dataloader.test.mapper.on_error=skip"], "skip"),
        (["dataloader.train.mapper.on_error=skip", "dataloader.test.mapper.on_error=stop"], "stop"),
        ([], "stop"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_on_error_of_validation_data(custom_data, tmp_path, overrides, expected, training):
    config = str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_b_100ep.py")
    cfg = load_config(config, [*overrides, f"train.output_dir={tmp_path}"])
    if expected == "stop":
        with pytest.raises(InputError, match=r"val/boxes\.json: annotation 2 "):
            use_custom_data(cfg, custom_data, training=training)
        return
    use_custom_data(cfg, custom_data, training=training)
    assert cfg.dataloader.test.mapper.on_error == "skip"
    assert [len(record["annotations"]) for record in get_dataset_dicts("custom_val", filter_empty=False)] == [1, 0]


def test_overrides_of_the_evaluator_and_the_mapper_are_kept(custom_data, tmp_path):
    overrides = ["dataloader.evaluator.max_dets_per_image=300", "dataloader.test.mapper.on_error=skip"]
    config = str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_b_100ep.py")
    cfg = load_config(config, [*overrides, f"train.output_dir={tmp_path}"])
    use_custom_data(cfg, custom_data, training=True)
    assert cfg.dataloader.evaluator.max_dets_per_image == 300
    assert cfg.dataloader.evaluator.dataset_name == "custom_val"
    assert not cfg.dataloader.train.mapper.recompute_boxes  # there are no masks


def test_other_evaluators_are_replaced_by_that_of_coco(custom_data, tmp_path):
    config = str(CONFIGS / "LVIS" / "cascade_mask_rcnn_vitdet_eva.py")
    cfg = load_config(config, ["dataloader.test.mapper.on_error=skip", f"train.output_dir={tmp_path}"])
    use_custom_data(cfg, custom_data, training=False)
    assert cfg.dataloader.evaluator == {
        "_target_": COCOEvaluator,
        "dataset_name": "custom_val",
        "output_dir": f"{tmp_path}/inference",
    }


def test_validation_data_must_have_the_classes_of_the_run(custom_data):
    cfg = load_config(str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_b_100ep.py"))
    val = CustomData(
        val_json=custom_data.train_json, val_images=custom_data.train_images
    )  # the training data has no bad record
    cfg.dataloader.categories = [{"id": 3, "name": "bolt"}]
    with pytest.raises(InputError, match=r"category 3 is 'bolt' in the training data of the config but 'nut' in"):
        use_custom_data(cfg, val, training=False)
    cfg.dataloader.categories = [{"id": 3, "name": "nut"}]
    use_custom_data(cfg, val, training=False)
    assert cfg.dataloader.categories == [{"id": 3, "name": "nut"}]


def test_custom_data_needs_a_detector(custom_data):
    cfg = load_config(str(CONFIGS.parents[1] / "Classification" / "configs" / "in1k_336.py"))
    with pytest.raises(InputError, match=r"needs a detector with model\.roi_heads"):
        use_custom_data(cfg, custom_data, training=True)


def _change_json(file: str, change) -> None:
    content = json.loads(Path(file).read_text())
    change(content)
    Path(file).write_text(json.dumps(content))


def _arguments(**values: object) -> argparse.Namespace:
    names = ("train_json", "train_images", "val_json", "val_images", "leave_out_category", "eval_only")
    names += ("train_data", "val_data", "val_share", "data_format", "rename_class", "pixels_from")
    return argparse.Namespace(**dict.fromkeys(names) | values)


NAMES = ("???", "${x}", "${oc.env:HOME}", '"quoted"', '"', "a: b", "=1+1", "null", "1e3", r"\${x}", "???x", "ü")


def test_names_and_paths_survive_the_config_of_a_run(custom_data, tmp_path):
    """OmegaConf would read them as missing values and interpolations."""
    folder = tmp_path / "${x}"
    Path(custom_data.train_images).rename(folder)
    data = CustomData(train_json=str(folder / "boxes.json"), train_images=str(folder))
    categories = [{"id": 3 + index, "name": name} for index, name in enumerate(NAMES)]
    _change_json(data.train_json, lambda content: content.update(categories=categories))
    config = str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_b_100ep.py")
    cfg = load_config(config, [f"train.output_dir={tmp_path}"])
    use_custom_data(cfg, data, training=True)
    save_categories(cfg, tmp_path)
    entries = {key: cfg.dataloader[key] for key in ("categories", "custom_data")}
    OmegaConf.save(OmegaConf.create(entries), tmp_path / "dataloader.yaml")
    stored = OmegaConf.create({"dataloader": OmegaConf.load(tmp_path / "dataloader.yaml")})
    assert stored_categories(stored, "")[0] == Categories(NAMES, tuple(range(3, 3 + len(NAMES))))
    assert find_categories(stored, tmp_path / "model.pth")[0].names == NAMES
    assert read_categories(tmp_path / "categories.json").names == NAMES
    assert CustomData.find(_arguments(eval_only=False), stored) == data


@pytest.mark.parametrize(
    "categories",
    [
        "x",
        {"id": 1},
        [1],
        [{"id": 1}],
        [{"id": 1, "name": "a"}] * 2,
        [{"id": 1, "name": []}],
    ],
)
def test_changed_categories_of_a_config_are_refused(categories):
    with pytest.raises(InputError, match=r"dataloader\.categories of the config: the categories"):
        stored_categories(OmegaConf.create({"dataloader": {"categories": categories}}), "")


@pytest.mark.parametrize("content", ["x", ["x"], {"train_json": 3}, {"other": "x"}, {"leave_out": [1]}])
def test_changed_custom_data_of_a_config_is_refused(content):
    with pytest.raises(InputError, match=r"dataloader\.custom_data of the config is not valid"):
        CustomData.find(_arguments(), OmegaConf.create({"dataloader": {"custom_data": content}}))


def test_categories_left_out_are_stored_with_the_run(custom_data, tmp_path):
    root = {"id": 0, "name": "things", "supercategory": "none"}
    for file in (custom_data.train_json, custom_data.val_json):
        _change_json(file, lambda content: content["categories"].insert(0, root))
    cfg = load_config(str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_b_100ep.py"), [f"train.output_dir={tmp_path}"])
    cfg.dataloader.train.mapper.on_error = "skip"
    paths = {key: value for key, value in asdict(custom_data).items() if key != "leave_out"}
    data = CustomData.find(_arguments(**paths, leave_out_category=["things"], eval_only=False), cfg)
    use_custom_data(cfg, data, training=True)
    assert stored_categories(cfg, "")[0] == Categories(("nut",), (3,))
    assert cfg.model.roi_heads.num_classes == 1
    # Evaluation of the run, also on data given anew, leaves the same category out.
    again = CustomData.find(_arguments(val_json=data.val_json, val_images=data.val_images, eval_only=True), cfg)
    use_custom_data(cfg, again, training=False)
    assert stored_categories(cfg, "")[0] == Categories(("nut",), (3,))
    with pytest.raises(InputError, match=r"has no category 'thing' to leave out; it has things, nut\."):
        use_custom_data(cfg, replace(data, leave_out=("thing",)), training=True)


@pytest.mark.parametrize("crowd", [True, False])
def test_there_must_be_objects_to_train_on(custom_data, crowd):
    def change(content: dict) -> None:
        if not crowd:
            content["annotations"] = []
        for annotation in content["annotations"]:
            annotation["iscrowd"] = 1

    _change_json(custom_data.train_json, change)
    cfg = load_config(str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_b_100ep.py"))
    sentence = "only crowd regions .*, which are not trained on" if crowd else "no annotations"
    with pytest.raises(InputError, match=rf"boxes\.json has {sentence}; give a file with annotated objects"):
        use_custom_data(cfg, CustomData(custom_data.train_json, custom_data.train_images), training=True)
