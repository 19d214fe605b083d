"""Adapting recipes to custom data."""

import json
from pathlib import Path

import pytest
from PIL import Image

from detectron2_ext.custom_data import CustomData, use_custom_data
from detectron2_ext.data import get_dataset_dicts
from detectron2_ext.evaluation import COCOEvaluator
from eva_backbone.errors import InputError
from eva_engine.config import load_config

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
