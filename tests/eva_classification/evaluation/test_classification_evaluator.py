"""Accuracies: as is right and as published, over subsets, processes and images that could not be read."""

import math

import numpy as np
import pytest
import torch
from detectron2.utils import comm
from torch import nn

import eva_classification.evaluation.classification_evaluator as module
from eva_backbone.errors import InputError
from eva_classification.data import imagenet_classes
from eva_classification.evaluation import ClassificationEvaluator, LabelMapping, MaskedImageEvaluator

LOGITS = torch.randn(23, 12, generator=torch.Generator().manual_seed(3))
LABELS = torch.arange(23) % 12


def batches(size: int = 5, labels: torch.Tensor = LABELS, repeated: int = 0) -> list[tuple[dict, torch.Tensor]]:
    marks = torch.arange(len(labels)) >= len(labels) - repeated
    names = [f"{number}.png" for number in range(len(labels))]
    return [
        (
            {"label": labels[part], "repeated": marks[part], "file_name": [names[i] for i in part]},
            LOGITS[part],
        )
        for part in torch.arange(len(labels)).split(size)
    ]


def evaluate(parts: list[tuple[dict, torch.Tensor]], **options) -> dict:
    evaluator = ClassificationEvaluator(**options)
    for inputs, outputs in parts:
        evaluator.process(inputs, outputs)
    return evaluator.evaluate()


def expected(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    order = logits.argsort(dim=1, descending=True)
    ranks = (order == labels[:, None]).float().argmax(1)
    loss = nn.functional.cross_entropy(logits.double(), labels)
    return {"top1": 100 * (ranks < 1).double().mean(), "top5": 100 * (ranks < 5).double().mean(), "loss": loss}


def assert_metrics(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(float(value), rel=1e-6), name


def test_accuracy_and_loss_over_batches():
    found = evaluate(batches())
    assert_metrics(found["accuracy"], expected(LOGITS, LABELS))
    losses = [expected(outputs, inputs["label"])["loss"] for inputs, outputs in batches()]
    assert found["accuracy_published"]["top1"] == found["accuracy"]["top1"]
    assert found["accuracy_published"]["loss"] == pytest.approx(float(np.mean(losses)), rel=1e-6)
    names = {f"{task}/{metric}" for task, metrics in found.items() for metric in metrics}
    assert names == set(ClassificationEvaluator.metric_names)


def test_a_second_evaluation_starts_from_nothing():
    evaluator = ClassificationEvaluator()
    for _ in range(2):
        evaluator.reset()
        for inputs, outputs in batches():
            evaluator.process(inputs, outputs)
        assert_metrics(evaluator.evaluate()["accuracy"], expected(LOGITS, LABELS))


def test_repeated_images_count_only_in_published_numbers():
    found = evaluate(batches(repeated=6))
    assert_metrics(found["accuracy"], expected(LOGITS[:-6], LABELS[:-6]))
    assert found["accuracy_published"]["top5"] == pytest.approx(float(expected(LOGITS, LABELS)["top5"]))


def test_the_published_label_mapping_may_differ():
    class Next(LabelMapping):
        def correct_classes(self, label, file_name):
            del file_name
            return ((label + 1) % 12,)

    class Both(LabelMapping):
        def correct_classes(self, label, file_name):
            return (label, (label + 1) % 12) if file_name != "3.png" else ()

    found = evaluate(batches(), label_mapping=Both(), published_label_mapping=Next())
    one, other = expected(LOGITS, LABELS), expected(LOGITS, (LABELS + 1) % 12)
    assert found["accuracy_published"]["top1"] == pytest.approx(float(other["top1"]))
    kept = torch.arange(23) != 3
    right = (LOGITS.argmax(1) == LABELS) | (LOGITS.argmax(1) == (LABELS + 1) % 12)
    assert found["accuracy"].keys() == {"top1", "top5"}
    assert found["accuracy"]["top1"] == pytest.approx(100 * float(right[kept].double().mean()))
    assert one["loss"] != other["loss"] == pytest.approx(found["accuracy_published"]["loss"], rel=0.1)


def test_unreadable_images_count_as_wrong(caplog):
    labels = LABELS.clone()
    labels[4] = -1
    found = evaluate(batches(labels=labels))
    readable = torch.arange(23) != 4
    part = expected(LOGITS[readable], LABELS[readable])
    part |= {name: part[name] * 22 / 23 for name in ("top1", "top5")}
    assert_metrics(found["accuracy"], part)
    assert caplog.text.count("could not be read and count as wrong: 1") == 1


@pytest.mark.parametrize("num_outputs", [1000, 200])
def test_only_the_classes_of_a_subset_can_be_predicted(num_outputs):
    numbers = list(imagenet_classes("imagenet_r").values())
    generator = torch.Generator().manual_seed(0)
    part = torch.randn(40, 200, generator=generator)
    positions = torch.randint(200, (40,), generator=generator)
    positions[::2] = part[::2].argmax(1)
    logits = torch.full((40, 1000), 9.0)
    logits[:, numbers] = part
    inputs = {"label": torch.tensor(numbers)[positions], "file_name": ["image"] * 40}
    found = evaluate([(inputs, logits if num_outputs == 1000 else part)], subset="imagenet_r")
    assert_metrics(found["accuracy"], expected(part, positions))


@pytest.mark.parametrize(
    ("options", "labels", "outputs", "sentence"),
    [
        ({}, [3, 12], 12, r"b\.png belongs to class 12, which is not one of the 12 classes that are scored"),
        ({"subset": "imagenet_a"}, [6, 0], 1000, "b.png belongs to class 0, which is not one of the 200"),
        ({"subset": "imagenet_a"}, [6, 6], 100, "the model has 100 outputs, expected the 1000 classes of ImageNet-1K"),
    ],
)
def test_other_classes_than_the_models(options, labels, outputs, sentence):
    inputs = {"label": torch.tensor(labels), "file_name": ["a.png", "b.png"]}
    with pytest.raises(InputError, match=sentence):
        evaluate([(inputs, torch.zeros(2, outputs))], **options)


def test_metrics_without_images_are_nan():
    assert math.isnan(ClassificationEvaluator().evaluate()["accuracy"]["top1"])


def test_non_finite_logits_are_an_error():
    inputs = {"label": torch.tensor([0, 1]), "file_name": ["a", "b"]}
    with pytest.raises(InputError, match="non-finite logits"):
        evaluate([(inputs, torch.tensor([[1.0, 0.0], [torch.nan, 0.0]]))])


def test_few_classes_and_half_precision():
    inputs = {"label": torch.tensor([0, 1]), "file_name": ["a", "b"]}
    found = evaluate([(inputs, torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.bfloat16))])["accuracy"]
    assert (found["top1"], found["top5"]) == (50, 100)


@pytest.mark.parametrize("is_first", [True, False])
def test_processes_are_added_up(is_first, monkeypatch):
    whole = batches(repeated=3)
    evaluators = []
    for part in (whole[:2], whole[2:]):
        evaluators.append(ClassificationEvaluator())
        for inputs, outputs in part:
            evaluators[-1].process(inputs, outputs)
    alone = evaluate(whole)
    monkeypatch.setattr(module, "gather_values", lambda _value: [evaluator._accumulators for evaluator in evaluators])
    monkeypatch.setattr(comm, "is_main_process", lambda: is_first)
    found = evaluators[0].evaluate()
    if not is_first:
        assert found == {}
        return
    for task, metrics in alone.items():
        assert_metrics(found[task], metrics)


def test_masked_image_loss_is_the_mean_over_images():
    evaluator = MaskedImageEvaluator()
    evaluator.process({"repeated": torch.tensor([False, False, False])}, torch.tensor([-0.1, -0.2, -0.6]))
    evaluator.process({"repeated": torch.tensor([False, True])}, torch.tensor([-0.5, -9.0]))
    assert evaluator.evaluate() == {"mim": {"loss": pytest.approx(-0.35)}}
    evaluator.reset()
    assert math.isnan(evaluator.evaluate()["mim"]["loss"])
