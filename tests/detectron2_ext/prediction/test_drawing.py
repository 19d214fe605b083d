"""Drawing of masks, boxes and labels for combinations of fields."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import Boxes, Instances

from detectron2_ext.prediction import draw_instances
from eva_engine.prediction.colors import palette_color

GREY = np.full((120, 160, 3), 90, dtype=np.uint8)


def instances(*fields: str) -> Instances:
    """A large instance with a small one inside it, and one far away that has an empty mask."""
    boxes = torch.tensor([[20.0, 40.0, 80.0, 100.0], [40.0, 60.0, 50.0, 70.0], [120.0, 50.0, 150.0, 80.0]])
    masks = torch.zeros(3, 120, 160, dtype=torch.bool)
    masks[0, 40:100, 20:80] = True
    masks[1, 60:70, 40:50] = True
    values = {
        "pred_boxes": Boxes(boxes),
        "pred_classes": torch.tensor([0, 1, 5]),
        "scores": torch.tensor([0.5, 0.934, 0.7]),
        "pred_masks": masks,
        "pred_masks_rle": [mask_util.encode(np.asfortranarray(m)) for m in masks.numpy().astype(np.uint8)],
    }
    return Instances((120, 160), **{name: values[name] for name in fields})


@pytest.mark.parametrize("masks", ["pred_masks", "pred_masks_rle"])
def test_masks_are_tinted_and_outlined(masks):
    drawn = draw_instances(GREY, instances(masks), mask_opacity=0.4)
    tint = [np.rint(90 * 0.6 + np.array(palette_color(i)) * 0.4) for i in range(2)]
    np.testing.assert_allclose(drawn[45, 30], tint[0], atol=1)
    # The small one lies over the large one.
    np.testing.assert_allclose(drawn[65, 45], np.rint(tint[0] * 0.6 + np.array(palette_color(1)) * 0.4), atol=1)
    np.testing.assert_allclose(drawn[50, 20], palette_color(0), atol=25)
    assert (drawn[:, 85:] == 90).all()
    assert (GREY == 90).all()


def test_boxes_and_labels():
    plain = draw_instances(GREY, instances("pred_boxes", "pred_classes", "scores"), labels=False)
    assert tuple(plain[70, 20]) == palette_color(0)
    assert tuple(plain[99, 50]) == palette_color(0)  # the last row of the box, not the one after it
    assert (plain[100, 50] == 90).all()
    labelled = draw_instances(GREY, instances("pred_boxes", "pred_classes", "scores"), ["cat", "dog"])
    changed = (labelled != plain).any(axis=2)
    assert changed[28:40, 20:50].mean() > 0.8  # a plate above the box


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("pred_boxes", "pred_classes", "scores"), ["dog 93%", "class 5 70%", "cat 50%"]),
        (("pred_boxes", "pred_classes"), ["cat", "dog", "class 5"]),
        (("pred_boxes", "scores"), ["93%", "70%", "50%"]),
        (("pred_boxes",), []),
    ],
)
def test_label_texts_best_first(monkeypatch, fields, expected):
    texts = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda _draw, _xy, text, **_: texts.append(text))
    draw_instances(GREY, instances(*fields), ["cat", "dog"])
    assert texts == expected


def test_labels_of_equal_boxes_do_not_overlap(monkeypatch):
    plates = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.rectangle", lambda _draw, plate, **_: plates.append(plate))
    twice = instances("pred_boxes", "pred_classes", "scores")[[0, 0]]
    draw_instances(GREY, twice, ["cat"])
    (_, top, _, bottom), (_, other_top, _, other_bottom) = plates
    assert bottom <= other_top or other_bottom <= top


def test_class_colours_do_not_depend_on_the_order():
    several = instances("pred_boxes", "pred_classes")
    drawn = draw_instances(GREY, several, color_by="class", labels=False)
    turned = draw_instances(GREY, several[[0, 2, 1]], color_by="class", labels=False)
    np.testing.assert_array_equal(drawn, turned)
    assert not np.array_equal(
        draw_instances(GREY, several, labels=False), draw_instances(GREY, several[[0, 2, 1]], labels=False)
    )


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7)])
def test_any_size_and_boxes_beyond_the_image(size):
    beyond = Instances(size, pred_boxes=Boxes([[-50.0, -50.0, 900.0, 900.0], [0.0, 0.0, 0.0, 0.0]]))
    beyond.pred_classes = torch.tensor([0, 0])
    image = np.zeros((*size, 3), np.uint8)
    assert draw_instances(image, beyond, ["a very long name of a class"]).shape == image.shape


def test_without_detections_the_result_is_an_unchanged_copy():
    drawn = draw_instances(GREY, instances("pred_boxes", "pred_classes")[:0])
    np.testing.assert_array_equal(drawn, GREY)
    assert drawn is not GREY
