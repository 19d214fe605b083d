"""The predictor returns the detections of the recipe's evaluation, in pixels of the image and with bounded memory."""

import copy

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from PIL import Image

from detectron2_ext.prediction import DetectionPredictor
from eva_backbone.errors import InputError


@pytest.fixture(scope="module")
def tiny_predictor(tiny_detector):
    return DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu", score_threshold=0.0)


@pytest.fixture(scope="module")
def found(tiny_predictor, image):
    return tiny_predictor(image)


def test_same_detections_as_the_evaluation(tiny_detector, found, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "image.png")
    mapper = instantiate(tiny_detector.cfg.dataloader.test.mapper)
    record = mapper({"file_name": str(tmp_path / "image.png"), "image_id": 1, "height": 75, "width": 100})
    with torch.no_grad():
        expected = tiny_detector.model([record])[0]["instances"]
    assert found.size == (75, 100)
    assert len(found) == len(expected) == 12
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.pred_boxes.tensor, rtol=0, atol=1e-3)
    assert found.class_ids.tolist() == expected.pred_classes.tolist()
    assert found.masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(found.masks, expected.pred_masks.numpy())


def test_built_model_gives_the_same_detections(tiny_detector, tiny_predictor, found, image):
    resize, categories = tiny_predictor.resize, tiny_predictor.categories
    built = DetectionPredictor(tiny_detector.model, resize, categories, device="cpu", score_threshold=0.0)(image)
    assert np.array_equal(built.scores, found.scores)
    assert np.array_equal(built.boxes, found.boxes)
    assert built.rles == found.rles


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_threshold(tiny_predictor, found, image, monkeypatch, kept):
    threshold = found.scores[kept - 1].item() if kept else 1.0
    monkeypatch.setattr(tiny_predictor, "score_threshold", threshold)
    result = tiny_predictor(image)
    assert len(result) == kept
    assert result.size == (75, 100)
    assert result.rles is not None
    assert np.array_equal(result.scores, found.scores[:kept])


def test_channel_order_of_the_config(tiny_detector, found, image):
    cfg = copy.deepcopy(tiny_detector.cfg)
    cfg.dataloader.test.mapper.image_format = "BGR"
    swapped = DetectionPredictor.from_config(cfg, tiny_detector.weights, "cpu", score_threshold=0.0)
    assert np.array_equal(swapped(image[:, :, ::-1]).scores, found.scores)
    assert not np.array_equal(swapped(image).scores, found.scores)


def test_without_test_loader_images_are_resized_to_the_padding_size(tiny_detector, found, image):
    cfg = copy.deepcopy(tiny_detector.cfg)
    cfg.dataloader.test = None
    assert np.array_equal(
        DetectionPredictor.from_config(cfg, tiny_detector.weights, "cpu", score_threshold=0.0)(image).scores,
        found.scores,
    )


def test_box_only_model(tiny_detector, image, tmp_path):
    cfg = copy.deepcopy(tiny_detector.cfg)
    cfg.model.roi_heads.update(mask_in_features=None, mask_pooler=None, mask_head=None)
    state = {name: v for name, v in tiny_detector.model.state_dict().items() if "mask_head" not in name}
    torch.save(state, tmp_path / "boxes.pth")
    result = DetectionPredictor.from_config(cfg, tmp_path / "boxes.pth", "cpu", score_threshold=0.0)(image)
    assert len(result) == 12
    assert result.rles is None
    assert result.masks is None


def test_an_image_of_one_row_is_refused(tiny_predictor):
    with pytest.raises(InputError, match="20000x1 pixels"):
        tiny_predictor(np.zeros((1, 20000, 3), np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "cuda:77"}, "device 'cuda:77' cannot be used"),
        ({"device": "fridge"}, "device 'fridge' cannot be used"),
        ({"weights": "missing.pth"}, "missing.pth"),
        ({"num_classes": 7}, "no values for .* parameters"),
        ({"dataloader.test": None, "model.backbone.square_pad": None}, "give a detection config"),
    ],
)
def test_unusable_arguments(tiny_detector, change, message):
    cfg, weights, device = copy.deepcopy(tiny_detector.cfg), tiny_detector.weights, "cpu"
    for key, value in change.items():
        if key == "device":
            device = value
        elif key == "weights":
            weights = value
        elif key == "num_classes":
            cfg.model.roi_heads.num_classes = value
        else:
            group, _, leaf = key.rpartition(".")
            (cfg.dataloader if group == "dataloader" else cfg.model.backbone)[leaf] = value
    with pytest.raises(InputError, match=message):
        DetectionPredictor.from_config(cfg, weights, device)


def test_weights_in_bfloat16(tiny_detector, found, image):
    predictor = DetectionPredictor.from_config(
        tiny_detector.cfg, tiny_detector.weights, "cpu", score_threshold=0.0, dtype="bfloat16"
    )
    parameters = dict(predictor.model.named_parameters())
    assert parameters["backbone.net.blocks.0.mlp.fc1.weight"].dtype == torch.bfloat16
    low = predictor(image)
    assert len(low) == len(found)
    assert low.boxes.dtype == low.scores.dtype == np.float32
    np.testing.assert_allclose(low.scores, found.scores, rtol=0.1)
    assert low.masks.shape == (len(low), 75, 100)


def test_unknown_type_of_weights(tiny_detector):
    with pytest.raises(InputError, match="dtype='half' is not known; choose one of float32, bfloat16, float16, auto"):
        DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu", dtype="half")
