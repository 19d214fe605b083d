"""An exported detector in place of the model: results, limits and wrong use; PyTorch stands in for the runtime."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_detectors import run_by_torch, tiny_detector, tiny_predictor

from detectron2_ext.export.exported_detector import ExportedDetector
from detectron2_ext.export.task_export import DetectionExport
from detectron2_ext.modeling.test_time_augmentation import TestTimeAugmentation
from detectron2_ext.prediction import DetectionPredictor
from detectron2_ext.prediction.slices import Slices
from eva_backbone.errors import InputError
from eva_deploy.exported_model import ExportedModel, GraphFunction
from eva_deploy.task_export import ExportOptions
from eva_engine.config import load_config
from eva_engine.config.config_file import config_text

RECIPE = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"


def stand_in(model, large_images: str = "refuse") -> ExportedDetector:
    """Return the exported detector of a model, with a graph that is run by PyTorch."""
    original = tiny_predictor(model)
    export, options = DetectionExport(), ExportOptions(batch_size=2)
    (graph,) = export.graphs(original, options)
    function = GraphFunction(run_by_torch(graph), graph.description["inputs"], Path("model.onnx"))
    return ExportedDetector(function, export.settings(original, options), large_images)


@pytest.fixture
def model():
    return tiny_detector("eva01", "soft")


@pytest.fixture
def exported(model):
    return stand_in(model)


@pytest.fixture(scope="module")
def photos(images) -> list[np.ndarray]:
    return [image.byte().permute(1, 2, 0).numpy() for image in images]


def predictions(of: DetectionPredictor, photos) -> list[dict]:
    results = of.predict([of.prepare(photo) for photo in photos])
    return [result.to_dict() for result in results]


def assert_close(found: list[dict], expected: list[dict]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one["detections"]
        assert len(one["detections"]) == len(other["detections"])
        for item, wanted in zip(one["detections"], other["detections"], strict=True):
            assert (item["category"], item.get("segmentation")) == (wanted["category"], wanted.get("segmentation"))
            assert item["score"] == pytest.approx(wanted["score"], abs=1e-5)
            assert item["bbox"] == pytest.approx(wanted["bbox"], abs=1e-3)


def test_the_predictor_gives_the_results_of_the_model(model, exported, photos):
    # An odd number of images for a graph with a batch size of two.
    photos = [*photos, photos[0][:, ::-1].copy()]
    assert_close(predictions(tiny_predictor(exported), photos), predictions(tiny_predictor(model), photos))


def test_slices_give_the_results_of_the_model(model, exported, photos):
    slices = Slices(32, 0.2)
    assert_close(
        predictions(tiny_predictor(exported, slices=slices), photos),
        predictions(tiny_predictor(model, slices=slices), photos),
    )


def test_fewer_detections_are_those_of_the_model_with_this_limit(model, exported, photos):
    expected = predictions(tiny_predictor(model, max_detections=5), photos)
    assert_close(predictions(tiny_predictor(exported, max_detections=5), photos), expected)
    again = tiny_predictor(exported)
    predictions(again, photos)
    assert all("--max-detections" not in limit for limit in again.reached_limits)


def test_more_detections_than_the_file_has_are_refused(exported, photos):
    with pytest.raises(InputError, match="gives at most 300 detections, not 301; export the model again"):
        predictions(tiny_predictor(exported, max_detections=301), photos)


def test_limits_are_reported_with_what_to_do(photos):
    kind = tiny_detector("eva01", "loose")
    torch.nn.init.constant_(kind.proposal_generator.rpn_head.objectness_logits.bias, 50.0)
    of = tiny_predictor(stand_in(kind))
    of.score_threshold = 0.0
    predictions(of, photos)
    text = "; export the model again with a larger number in its recipe"
    assert of.reached_limits == {f"20 detections{text}": 2, f"40 proposals{text}": 2}
    of = tiny_predictor(of.model, max_detections=3)
    predictions(of, photos)
    assert of.reached_limits["3 detections; raise --max-detections"] == 2


def test_evaluation_gets_detections_in_pixels_of_the_record(model, exported, images):
    records = [{"image": images[0], "height": 88, "width": 128}]
    (expected,), (found,) = model(records), exported(records)
    assert torch.equal(found["instances"].pred_masks, expected["instances"].pred_masks)
    torch.testing.assert_close(found["instances"].pred_boxes.tensor, expected["instances"].pred_boxes.tensor)


def test_large_images_are_refused_or_shrunk_as_the_recipe_says(model, exported):
    record = {"image": 255 * torch.rand(3, 50, 100), "file_name": "large.png"}
    with pytest.raises(InputError, match=r"large\.png has 100x50 pixels, but the model accepts at most 64x64"):
        exported([record])
    model.large_images = "resize"
    (expected,), (found,) = model([record]), stand_in(model, "resize")([record])
    torch.testing.assert_close(found["instances"].pred_boxes.tensor, expected["instances"].pred_boxes.tensor)


def test_what_needs_the_model_is_refused(exported, photos):
    with pytest.raises(InputError, match="predicts one view of an image; leave --tta"):
        tiny_predictor(exported, augmentation=TestTimeAugmentation())
    of = tiny_predictor(exported)
    with pytest.raises(InputError, match="gives no features"):
        of.backbone_input(of.prepare(photos[0]))
    with pytest.raises(InputError, match="makes its own proposals"):
        exported([{"image": torch.zeros(3, 64, 64), "proposals": None}])


@pytest.mark.parametrize("options", [{"image_size": 96}, {"dynamic_size": True}])
def test_other_sizes_are_refused_with_the_keys_that_set_them(model, options):
    with pytest.raises(InputError, match=r"pads images to, of 64 pixels; .* model.backbone.square_pad="):
        DetectionExport().graphs(tiny_predictor(model), ExportOptions(**options))


def test_a_change_of_the_model_in_the_recipe_of_a_file_is_refused(exported):
    cfg = load_config(RECIPE, [])
    metadata = SimpleNamespace(recipe=config_text(cfg))
    graphs = {"model": exported._graph}
    settings = {"num_classes": 1, "square_size": 64, "num_detections": 20, "num_proposals": 40}
    file = ExportedModel.__new__(ExportedModel)
    for name, value in (("path", Path("model.onnx")), ("graphs", graphs), ("metadata", metadata)):
        object.__setattr__(file, name, value)
    metadata.settings = settings
    allowed = load_config(RECIPE, ["model.large_images=resize", "train.seed=7"])
    assert DetectionExport().stand_in(file, allowed).large_images == "resize"
    changed = load_config(RECIPE, ["model.roi_heads.maskness_thresh=0.5"])
    with pytest.raises(
        InputError, match=r"model.roi_heads.maskness_thresh is 0.5, but model.onnx was exported with None"
    ):
        DetectionExport().stand_in(file, changed)
