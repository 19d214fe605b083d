"""Accuracies and mean per-class recall, computed a second way; label mappings; unusable input."""

import math

import pytest
import torch
from PIL import Image
from synthetic_features import CLASS_NAMES, TEMPLATES, features, measure_zero_shot, pixels, tokenize, write_classes
from torch.nn.functional import cross_entropy, normalize

from eva_backbone.errors import InputError
from eva_classification.data import EvaluationMapper, ImageDataset
from eva_classification.evaluation import LabelMapping
from eva_clip.data.eval_loaders import build_zero_shot_loader
from eva_clip.evaluation.zero_shot_evaluator import ClassRecallAccumulator, ZeroShotEvaluator


def logits_and_labels(root):
    files = sorted(root.glob("classes/*/*.png"))
    labels = torch.tensor([int(file.parent.name) for file in files])
    images = normalize(features({"image": torch.stack([pixels(Image.open(file)) for file in files])})["image_features"])
    rows = []
    for name in CLASS_NAMES:
        texts = tokenize([template.replace("{}", name) for template in TEMPLATES])
        rows.append(normalize(normalize(features({"text": texts})["text_features"]).mean(0), dim=0))
    return 100 * images @ torch.stack(rows).T, labels


def test_metrics_equal_a_second_computation(tmp_path):
    logits, labels = logits_and_labels(write_classes(tmp_path))
    order = logits.argsort(dim=1, descending=True, stable=True)
    found = measure_zero_shot(tmp_path)["zero_shot"]
    assert {f"zero_shot/{name}" for name in found} == set(ZeroShotEvaluator.metric_names)
    # Classes 1 and 3 have the same name, hence equal logits: either may come first.
    hits = lambda k: (order[:, :k] == labels[:, None]).any(1)  # noqa: E731
    assert not set(labels.tolist()) & {3}
    assert found["top5"] == pytest.approx(100 * hits(5).float().mean().item())
    assert found["top1"] == pytest.approx(100 * hits(1).float().mean().item())
    recalls = [hits(1)[labels == number].float().mean().item() for number in set(labels.tolist())]
    assert found["mean_recall"] == pytest.approx(100 * sum(recalls) / len(recalls))
    assert found["mean_recall"] != pytest.approx(found["top1"])
    assert found["loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-4)


def test_unreadable_images_are_wrong(tmp_path):
    write_classes(tmp_path)
    whole = measure_zero_shot(tmp_path)["zero_shot"]
    logits, labels = logits_and_labels(tmp_path)
    right = [
        f for f, ok in zip(sorted(tmp_path.glob("classes/*/*.png")), logits.argmax(1) == labels, strict=True) if ok
    ]
    right[0].write_bytes(b"no image")
    found = measure_zero_shot(tmp_path)["zero_shot"]
    assert found["top1"] == pytest.approx(whole["top1"] - 100 / 17)


def test_label_mappings(tmp_path):
    write_classes(tmp_path)

    class Both(LabelMapping):
        def correct_classes(self, label, file_name):
            return () if file_name.endswith("/0.png") else (label, (label + 1) % 7)

    found = measure_zero_shot(tmp_path, Both())["zero_shot"]
    assert set(found) == {"top1", "top5"}
    logits, labels = logits_and_labels(tmp_path)
    kept = torch.tensor([file.name != "0.png" for file in sorted(tmp_path.glob("classes/*/*.png"))])
    best = logits.argmax(1)[kept]
    hits = (best == labels[kept]) | (best == (labels[kept] + 1) % 7)
    assert found["top1"] == pytest.approx(100 * hits.float().mean().item())


def test_mean_recall():
    recall = ClassRecallAccumulator()
    assert math.isnan(recall.mean())
    for number, hit in [(0, True), (0, True), (0, False), (5, False)]:
        recall.add(number, hit)
    assert (recall + ClassRecallAccumulator()).mean() == pytest.approx(100 / 3)


def test_more_classes_than_names(tmp_path):
    records = ImageDataset(str(write_classes(tmp_path) / "classes"))
    with pytest.raises(InputError, match="class numbers up to 3, but there are 2 class names"):
        build_zero_shot_loader(
            records,
            mapper=EvaluationMapper(pixels),
            class_names=["a", "b"],
            templates="{}",
            tokenizer=tokenize,
        )


def test_non_finite_features():
    with pytest.raises(InputError, match="non-finite image features"):
        ZeroShotEvaluator().process(
            {"image": [], "label": torch.tensor([0]), "file_name": ["a"]},
            {"image_features": torch.tensor([[torch.inf]])},
        )
