"""Soft-NMS against a simple loop over all boxes of all classes."""

import numpy as np
import pytest
import torch

from detectron2_ext.modeling import batched_soft_nms, soft_nms
from detectron2_ext.modeling.soft_nms_decay import DecayRule
from detectron2_ext.modeling.soft_nms_neighbours import find_neighbours
from eva_backbone.errors import InputError


def overlap(a: np.ndarray, b: np.ndarray) -> np.float32:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inter = max(width, np.float32(0)) * max(height, np.float32(0))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else np.float32(0)


def slow_soft_nms(boxes, scores, classes, method, iou_threshold, sigma, min_score):
    boxes, classes = boxes.numpy(), classes.tolist()
    live = dict(enumerate(scores.numpy()))
    keep, decayed = [], []
    while live:
        best = max(live, key=lambda i: (live[i], -i))
        keep.append(best)
        decayed.append(live.pop(best))
        for i in list(live):
            if classes[i] == classes[best]:
                iou = overlap(boxes[best], boxes[i])
                if method == "gaussian":
                    live[i] *= np.exp(-(iou * iou) / np.float32(sigma))
                elif iou >= np.float32(iou_threshold):
                    live[i] *= np.float32(0) if method == "naive" else 1 - iou
            if live[i] < min_score:
                del live[i]
    return keep, decayed


def random_boxes(count: int) -> torch.Tensor:
    corner = torch.rand(count, 2) * 60
    return torch.cat([corner, corner + torch.rand(count, 2) * 50 + 5], dim=1)


def shared(count: int, num_classes: int, fraction: float = 1.0):
    """Return (boxes, scores, classes) of the pairs of a score matrix, box by box."""
    scores = torch.rand(count, num_classes)
    row, classes = (torch.rand(count, num_classes) < fraction).nonzero(as_tuple=True)
    return random_boxes(count)[row], scores[row, classes], classes


def separate(count: int, num_classes: int):
    return random_boxes(count), torch.rand(count), torch.randint(num_classes, (count,))


def spread(count: int, num_classes: int):
    """Return boxes that overlap few others of their class, in classes of different sizes."""
    corner = torch.rand(count, 2) * 600
    boxes = torch.cat([corner, corner + torch.rand(count, 2) * 50 + 5], dim=1)
    boxes[1::3] = boxes[::3] + torch.rand(len(boxes[::3]), 1) * 8
    classes = (torch.rand(count) ** 1.5 * num_classes).long()
    classes[1::3] = classes[::3]
    return boxes, torch.rand(count), classes


def shuffled(boxes, scores, classes):
    order = torch.randperm(len(boxes))
    return boxes[order], scores[order], classes[order]


def class_by_class(boxes, scores, classes):
    order = classes.argsort(stable=True)
    return boxes[order], scores[order], classes[order]


def with_ties(boxes, scores, classes):
    return boxes, (scores * 8).ceil() / 8, classes


def twice_in_a_class(count: int, num_classes: int):
    boxes = random_boxes(count).repeat(2 * num_classes, 1)
    return boxes, torch.rand(len(boxes)), torch.arange(num_classes).repeat_interleave(2 * count)


def orders_that_differ(count: int, num_classes: int):
    boxes = random_boxes(count)
    boxes = torch.cat([boxes.flip(0) if i % 2 else boxes for i in range(num_classes)])
    return boxes, torch.rand(len(boxes)), torch.arange(num_classes).repeat_interleave(count)


def copies_apart(count: int):
    """Class 0 has `count` disjoint boxes, each twice; nine more classes of one box prevent the table of all pairs."""
    corner = torch.arange(count + 9)[:, None] * 20.0
    boxes = torch.cat([corner, corner, corner + 10, corner + 10], dim=1)
    classes = torch.cat([torch.zeros(2 * count, dtype=torch.int64), torch.arange(1, 10)])
    return torch.cat([boxes[:count], boxes]), torch.rand(len(classes)), classes


def with_degenerate(boxes, scores, classes):
    boxes = boxes.clone()
    boxes[::5, 2] = boxes[::5, 0]
    boxes[::10] = boxes[0].clone()  # equal boxes without area
    return boxes, scores, classes


CASES = {
    "all pairs": lambda: shared(30, 4),
    "some pairs": lambda: shared(30, 4, fraction=0.6),
    "few pairs": lambda: shared(30, 20, fraction=0.05),
    "pairs class by class": lambda: class_by_class(*shared(30, 6)),
    "pairs class by class, ties": lambda: with_ties(*class_by_class(*shared(30, 6, fraction=0.7))),
    "pairs in any order": lambda: with_ties(*shuffled(*shared(30, 6))),
    "one box twice in a class": lambda: twice_in_a_class(15, 6),
    "ties in classes of opposite order": lambda: with_ties(*orders_that_differ(20, 6)),
    "all dead after 32 rounds": lambda: copies_apart(32),
    "boxes of each class": lambda: separate(240, 3),
    "uneven classes": lambda: tuple(torch.cat(x) for x in zip(separate(60, 1), separate(9, 40), strict=True)),
    "one class": lambda: separate(50, 1),
    "ties in pairs": lambda: with_ties(*shared(20, 4)),
    "ties in boxes of each class": lambda: with_ties(*separate(80, 3)),
    "no area, pairs": lambda: with_degenerate(*shared(20, 3)),
    "no area, boxes of each class": lambda: with_degenerate(*separate(60, 2)),
    "few overlaps": lambda: spread(300, 6),
    "few overlaps, ties": lambda: with_ties(*spread(300, 6)),
    "few overlaps, no area": lambda: with_degenerate(*spread(300, 6)),
    "negative class ids": lambda: (random_boxes(20), torch.rand(20), torch.randint(-3, 3, (20,))),
    "one box": lambda: separate(1, 1),
    "all below min_score": lambda: (random_boxes(10), torch.rand(10) * 1e-5, torch.randint(3, (10,))),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("min_score", [1e-3, 0.3, 0.0])
def test_same_as_simple_loop(name: str, method: str, min_score: float) -> None:
    boxes, scores, classes = CASES[name]()
    options = {"method": method, "iou_threshold": 0.3, "sigma": 0.5, "min_score": min_score}
    keep, decayed = batched_soft_nms(boxes, scores, classes, **options)
    slow_keep, slow_decayed = slow_soft_nms(boxes, scores, classes, **options)
    assert keep.tolist() == slow_keep
    np.testing.assert_allclose(decayed, slow_decayed, rtol=1e-6)


@pytest.mark.parametrize("method", ["naive", "linear"])
def test_same_as_simple_loop_for_any_number_of_rounds(method: str) -> None:
    """Dense boxes, of which a class emits 25 to 40 ("naive") or 60 to 80: after exactly 32 or 64 no box is left."""
    rounds = set()
    for _ in range(40):
        boxes, scores, classes = separate(133, 2)
        classes[-3:] = torch.arange(2, 5)  # more than four classes, so that the table of all pairs is not used
        options = {"method": method, "iou_threshold": 0.3, "sigma": 0.5, "min_score": 1e-3}
        keep, decayed = batched_soft_nms(boxes, scores, classes, **options)
        slow_keep, slow_decayed = slow_soft_nms(boxes, scores, classes, **options)
        assert keep.tolist() == slow_keep
        np.testing.assert_allclose(decayed, slow_decayed, rtol=1e-6)
        rounds.add(int(classes[keep].bincount().max()))
    assert rounds & {32, 64}


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.6, 0.95, 1.0])
def test_all_pairs_from_the_threshold_on_are_neighbours(threshold: float) -> None:
    boxes, _, _ = spread(200, 1)
    # As far to the right as a box can begin that still has nearly this IoU.
    inner = boxes[:-2:3].clone()
    inner[:, 0] += 0.99 * (1 - threshold) * (inner[:, 2] - inner[:, 0])
    boxes[2::3] = inner
    corners = boxes.numpy()[None]
    rule = DecayRule("linear", threshold, 0.5)
    found = find_neighbours(rule, corners, np.ones((1, 200), bool), 200)
    assert found is not None
    for column, box in enumerate(corners[0]):
        scores = np.ones((1, 200), np.float32)
        found.decay(scores, np.array([column]))
        expected = rule.factor(np.array([overlap(box, other) for other in corners[0]]))
        expected[column] = 1  # an emitted box is not its own neighbour
        assert np.array_equal(scores[0], expected)


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        (DecayRule("linear", 0.3, 0.5), lambda: random_boxes(200)),
        (DecayRule("gaussian", 0.3, 0.5), lambda: spread(200, 1)[0]),
        (DecayRule("naive", 0.0, 0.5), lambda: spread(200, 1)[0]),
    ],
)
def test_crowded_boxes_and_rules_for_all_pairs_have_no_lists_of_neighbours(rule, make) -> None:
    assert find_neighbours(rule, make().numpy()[None], np.ones((1, 200), bool), 200) is None


@pytest.mark.parametrize("topk", [0, 1, 7, 1000])
@pytest.mark.parametrize("make", [lambda: shared(25, 4), lambda: separate(60, 4)])
def test_topk_returns_the_first_boxes(make, topk: int) -> None:
    case = make()
    keep, decayed = batched_soft_nms(*case)
    first, first_decayed = batched_soft_nms(*case, topk=topk)
    assert torch.equal(first, keep[:topk])
    assert torch.equal(first_decayed, decayed[:topk])


def test_empty_and_single_class() -> None:
    keep, decayed = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert keep.shape == decayed.shape == (0,)
    boxes, scores, _ = separate(40, 1)
    keep, decayed = soft_nms(boxes, scores, method="gaussian")
    expected = batched_soft_nms(boxes, scores, torch.full((40,), 7), method="gaussian")
    assert torch.equal(keep, expected[0])
    assert torch.equal(decayed, expected[1])


def test_classes_do_not_influence_each_other() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 2)
    _, decayed = batched_soft_nms(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]))
    assert decayed.tolist() == pytest.approx([0.9, 0.8])
    _, decayed = batched_soft_nms(boxes + 2e6, torch.tensor([0.9, 0.8]), torch.tensor([0, 0]), min_score=0.0)
    assert decayed.tolist() == pytest.approx([0.9, 0.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "hard"}, "naive, linear, gaussian"), ({"method": "gaussian", "sigma": 0.0}, "sigma above 0")],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft_nms(torch.zeros(1, 4), torch.ones(1), **options)
