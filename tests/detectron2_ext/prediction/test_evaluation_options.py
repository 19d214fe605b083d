"""`evaluate` with slices or test-time augmentation finds what `predict` finds with the same options."""

import copy
import gc
import json

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig
from PIL import Image

from detectron2_ext.evaluation.image_inference import ImageInference, evaluate_with
from detectron2_ext.prediction import DetectionPredictor
from eva_backbone.errors import InputError
from eva_engine.commands import predict, train
from eva_engine.config import load_config

SEMSEG = "projects/SemSeg/configs/ade20k_ss.py"


@pytest.fixture
def data(image, tmp_path):
    """A folder with two images and val.json."""
    images = {"a.png": image, "b.png": image[:60, ::-1]}
    content = {"categories": [], "annotations": [], "images": []}
    for number in range(80):
        content["categories"].append({"id": 5 + number, "name": f"thing {number}"})
    for number, (name, pixels) in enumerate(images.items(), start=1):
        Image.fromarray(pixels).save(tmp_path / name)
        height, width = pixels.shape[:2]
        content["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        outline = [5, 5, 60, 5, 60, 50, 5, 50]
        content["annotations"].append(
            {"id": number, "image_id": number, "category_id": 5 + number, "bbox": [5, 5, 55, 45], "area": 55 * 45}
            | {"iscrowd": 0, "segmentation": [outline]}
        )
    (tmp_path / "val.json").write_text(json.dumps(content))
    return tmp_path


def recipe(tiny_detector, **changes):
    cfg = copy.deepcopy(tiny_detector.cfg)
    evaluate_with(cfg, **changes)
    return cfg


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ([], {}),
        (["--slice", "60", "--overlap", "0.3", "--full-image"], {"slice_size": 60, "overlap": 0.3, "full_image": True}),
        (["--tta-scales", "1,0.5"], {"tta_scales": (1, 0.5)}),
    ],
    ids=str,
)
def test_the_evaluated_detections_are_those_of_predict(tiny_detector, tiny_arguments, data, flags, options):
    arguments = ["--eval-only", *tiny_arguments, *flags, "--val-json", str(data / "val.json")]
    arguments += ["--val-images", str(data)]
    out = data / "out"
    assert train.main([*arguments, f"train.output_dir={out}", "dataloader.test.num_workers=0"]) == 0
    found = json.loads((out / "inference/coco_instances_results.json").read_text())
    predictor = DetectionPredictor.from_config(
        tiny_detector.cfg, tiny_detector.weights, "cpu", score_threshold=0.0, **options
    )
    for number, name in enumerate(("a.png", "b.png"), start=1):
        records = [record for record in found if record["image_id"] == number]
        expected = predictor(np.asarray(Image.open(data / name)))
        assert len(records) == len(expected) > 3
        records.sort(key=lambda record: -record["score"])
        np.testing.assert_allclose([record["score"] for record in records], expected.scores, atol=1e-6)
        corners = expected.boxes.copy()
        corners[:, 2:] -= corners[:, :2]
        np.testing.assert_allclose([record["bbox"] for record in records], corners, atol=1e-3)
        assert [record["segmentation"]["counts"] for record in records] == [
            rle["counts"].decode() for rle in expected.rles
        ]
    # The config that the run saves evaluates in the same way.
    saved = load_config(str(out / "config.yaml"))
    assert ("inference" in saved.dataloader) == bool(options)
    assert saved.dataloader.test.mapper.get("resize", True) == (not options)


@pytest.fixture
def tiny_arguments(tiny_detector, data):
    config = data / "tiny.yaml"
    LazyConfig.save(tiny_detector.cfg, str(config))
    return ["--config-file", str(config), "--weights", str(tiny_detector.weights), "train.device=cpu"]


def test_the_model_keeps_its_mode_and_loses_the_hook(tiny_detector, image):
    model = copy.deepcopy(tiny_detector.model).train()
    tested = ImageInference(recipe(tiny_detector, slice_size=60), model)
    assert tested.training
    tested.eval()
    with torch.no_grad():
        (output,) = tested([{"image": torch.from_numpy(image).permute(2, 0, 1)}])
    assert output["instances"].has("pred_masks")
    tested.train()
    assert model.training
    del tested
    gc.collect()
    assert not model.proposal_generator._forward_hooks


def test_channel_order(tiny_detector, image):
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    outputs = []
    for image_format in ("RGB", "BGR"):
        cfg = recipe(tiny_detector, slice_size=60)
        cfg.dataloader.test.mapper.image_format = image_format
        outputs.append(ImageInference(cfg, tiny_detector.model).eval()([{"image": pixels}])[0]["instances"])
    # The records of an evaluation have the order that the model expects already.
    assert torch.equal(outputs[0].pred_boxes.tensor, outputs[1].pred_boxes.tensor)


def test_unusable_options(tiny_detector, capsys):
    with pytest.raises(InputError, match="overlap of slices"):
        recipe(tiny_detector, slice_size=90, overlap=0.95)
    with pytest.raises(InputError, match="slices of 31 pixels are too small; give a side of at least 32 pixels"):
        recipe(tiny_detector, slice_size=31)
    with pytest.raises(InputError, match="add --slice"):
        recipe(tiny_detector, overlap=0.5)
    cfg = copy.deepcopy(tiny_detector.cfg)
    cfg.dataloader.test = None
    with pytest.raises(InputError, match=r"no dataloader\.test\.mapper"):
        evaluate_with(cfg, tta=True)
    weights = f"train.init_checkpoint={tiny_detector.weights}"
    assert train.main(["--eval-only", "--config-file", SEMSEG, "--tta", weights]) == 2
    assert "--tta is for detection" in capsys.readouterr().err


@pytest.mark.parametrize("scales", ["0", "1,-2", "a", "", "inf"])
def test_scales_are_positive_numbers(scales, capsys):
    with pytest.raises(SystemExit):
        predict.main(["--weights", "x.pth", "--input", "y.jpg", "--tta-scales", scales])
    assert "invalid list of positive numbers" in capsys.readouterr().err
