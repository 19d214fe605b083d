"""A detector in slices: plain prediction where one slice covers the image, exact masks across slices elsewhere."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import Boxes, Instances

from detectron2_ext.mask_windows import encode_predicted_masks
from detectron2_ext.prediction import DetectionPredictor
from detectron2_ext.prediction.sliced_detection import Found, detect_in_slices
from detectron2_ext.prediction.slices import Slices
from eva_backbone.errors import InputError


def make_predictor(tiny_detector, **options):
    return DetectionPredictor.from_config(
        tiny_detector.cfg, tiny_detector.weights, "cpu", **{"score_threshold": 0.0, **options}
    )


def assert_equal(result, expected):
    np.testing.assert_array_equal(result.boxes, expected.boxes)
    np.testing.assert_array_equal(result.scores, expected.scores)
    np.testing.assert_array_equal(result.class_ids, expected.class_ids)
    assert result.rles == expected.rles
    assert len(result) > 0


@pytest.mark.parametrize("full_image", [False, True])
def test_an_image_of_one_slice_is_predicted_as_without_slices(tiny_detector, image, full_image):
    sliced = make_predictor(tiny_detector, slice_size=100, full_image=full_image)(image)
    assert_equal(sliced, make_predictor(tiny_detector)(image))


def test_a_slice_that_no_other_one_reaches(tiny_detector, image):
    """Without overlap nothing is merged: the objects are those of the slices as images of their own."""
    sliced = make_predictor(tiny_detector, slice_size=50, overlap=0.0)(image[:50])
    predictor = make_predictor(tiny_detector)
    left, right = predictor(image[:50, :50]), predictor(image[:50, 50:])
    order = np.argsort(-np.concatenate([left.scores, right.scores]), kind="stable")
    boxes = np.concatenate([left.boxes, right.boxes + np.float32([50, 0, 50, 0])])
    np.testing.assert_array_equal(sliced.boxes, boxes[order])
    masks = np.zeros((len(order), 50, 100), bool)
    masks[: len(left), :, :50], masks[len(left) :, :, 50:] = left.masks, right.masks
    np.testing.assert_array_equal(sliced.masks, masks[order])


def test_batches_of_slices(tiny_detector, image):
    one, many = (make_predictor(tiny_detector, slice_size=60) for _ in range(2))
    sizes = []
    inference = many.model.inference

    def count(inputs, **options):
        sizes.append(len(inputs))
        return inference(inputs, **options)

    many.model.inference = count
    many.batch_size = 3
    result, expected = many(image), one(image)
    assert sizes == [3, 1]
    np.testing.assert_allclose(result.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(result.class_ids, expected.class_ids)


def test_a_limit_that_only_all_slices_together_exceed_is_reported(tiny_detector, image):
    everything = make_predictor(tiny_detector, slice_size=60)(image)
    lengths = [len(make_predictor(tiny_detector)(part)) for part in (image[:60, :60], image[:60, 40:])]
    limit = max(lengths) + 1
    assert limit < len(everything)
    best = make_predictor(tiny_detector, slice_size=60, max_detections=limit)(image)
    assert len(best) == limit
    assert sum(f"{limit} detections; raise --max-detections" in name for name in best.reached_limits) == 1


def test_threshold_changes_only_which_objects_are_returned(tiny_detector, image):
    everything = make_predictor(tiny_detector, slice_size=60, overlap=0.4)(image)
    threshold = float(everything.scores[3])
    best = make_predictor(tiny_detector, slice_size=60, overlap=0.4, score_threshold=threshold)(image)
    assert len(best) == 4 < len(everything)
    np.testing.assert_array_equal(best.boxes, everything.boxes[:4])
    assert best.rles == everything.rles[:4]


class DiskDetector:
    """Stands for a predictor: finds the visible part of a disk as its box, with an elliptic mask."""

    batch_size, score_threshold = 2, 0.5

    def __init__(self, box):
        self.box = box
        radius = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, 28)] * 2))
        self.mask = torch.tensor((1.4 - radius).clip(0, 1), dtype=torch.float32)

    def prepare_whole(self, image):
        return image  # its first channel is the column of the pixel, the second one the row

    def detect(self, samples, score_threshold):
        assert score_threshold == 0
        found = []
        for sample in samples:
            left, top = sample[0, 0, :2]
            box = torch.tensor(self.box) - torch.tensor([left, top, left, top])
            boxes = Boxes(box[None].float())
            boxes.clip(sample.shape[:2])
            instances = Instances(sample.shape[:2], pred_boxes=boxes, scores=torch.tensor([0.9]))
            instances.pred_classes = torch.tensor([0])
            instances.probabilities = self.mask[None]
            found.append(Found(instances[boxes.nonempty()], ("a limit",) if left else ()))
        return found


def test_masks_of_parts_are_united_exactly():
    rows, columns = np.mgrid[:80, :150]
    image = np.stack([columns, rows, rows], axis=2).astype(np.uint8)
    windows = Slices(100, 0.2).windows(80, 150)
    found = detect_in_slices(DiskDetector([30, 10, 120, 70]), image, windows)
    assert found.reached_limits == ("a limit",)
    assert found.instances.pred_boxes.tensor.tolist() == [[30, 10, 120, 70]]
    detector = DiskDetector([30, 10, 120, 70])
    expected = np.zeros((80, 150), bool)
    for window in windows:
        x0, y0, x1, y1 = window.box
        ((part, _),) = detector.detect([image[y0:y1, x0:x1]], 0.0)
        (rle,) = encode_predicted_masks(part.pred_boxes.tensor, part.probabilities, (y1 - y0, x1 - x0))
        expected[y0:y1, x0:x1] |= mask_util.decode(rle).astype(bool)
    np.testing.assert_array_equal(mask_util.decode(found.instances.pred_masks_rle[0]), expected)


def test_options_without_slices_are_refused(tiny_detector):
    for options in ({"overlap": 0.3}, {"full_image": True}):
        with pytest.raises(InputError, match="add --slice PIXELS"):
            make_predictor(tiny_detector, **options)


def test_a_slice_that_is_too_narrow_is_refused(tiny_detector):
    predictor = make_predictor(tiny_detector, slice_size=300)
    with pytest.raises(InputError, match="300x1 pixels"):
        predictor(np.zeros((1, 20000, 3), np.uint8))
