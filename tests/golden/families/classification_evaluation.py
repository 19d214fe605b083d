"""Evaluation of classifiers: from image files to accuracies, the 200-class sets, ImageNet-ReaL's labels."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from eva_classification import Classifier
from eva_classification.data import EvaluationMapper, ImageCollate, ImageDataset, imagenet_classes
from eva_classification.evaluation import ClassificationEvaluator, RealLabels
from eva_classification.transforms import evaluation_transform
from eva_engine.checkpoint import load_checkpoint
from eva_engine.data import EvalLoader

from ..case import GoldenCase, family
from .classification_backbone import backbone_options, draw_entries

CELL = 8
BATCH_SIZE = 3  # the recorded loss is the mean over batches


def draw_images(spec: dict, folder: Path) -> None:
    """Write one PNG file per class to the folder of its index, with cells of one colour."""
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    for number in range(spec["num_classes"]):
        height, width = 64 + 7 * number, 150 - 6 * number
        cells = generator.integers(0, 256, (math.ceil(height / CELL), math.ceil(width / CELL), 3)).astype(np.uint8)
        pixels = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[:height, :width]
        class_folder = folder / f"{number:04d}"
        class_folder.mkdir()
        Image.fromarray(pixels).save(class_folder / "image.png")


def load_model(spec: dict, folder: Path) -> Classifier:
    """Load the seeded weights from a file into a model for the size of the images."""
    entries = draw_entries(spec)
    options = backbone_options(spec["config"], entries) | {"img_size": spec["input_size"]}
    pooling = "mean" if "fc_norm.weight" in entries else "class"
    model = Classifier(spec["num_classes"], pooling=pooling, **options)
    torch.save({"model": entries}, folder / "weights.pt")
    load_checkpoint(model, folder / "weights.pt")
    return model.eval()


@family("eval_end2end_")
def check_evaluation(case: GoldenCase) -> None:
    spec = case.spec
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(spec, Path(folder))
        images = Path(folder, "images")
        images.mkdir()
        draw_images(spec, images)
        transform = evaluation_transform(spec["input_size"], spec["crop_pct"])
        loader = EvalLoader(
            ImageDataset(str(images), num_classes=spec["num_classes"]),
            mapper=EvaluationMapper(transform),
            collate=ImageCollate(),
            batch_size=BATCH_SIZE,
        )
        evaluator = ClassificationEvaluator()
        pixels, logits = [], []
        with torch.no_grad():
            for batch in loader:
                pixels.append(batch["image"])
                logits.append(model(batch))
                evaluator.process(batch, logits[-1])
    inputs = [name for name in case.arrays if name.startswith("inputs_")]
    assert inputs
    for name in inputs:
        start, stop = (int(number) for number in name.split("_")[1:])
        np.testing.assert_array_equal(torch.cat(pixels)[start:stop], case.arrays[name], err_msg=name)
    np.testing.assert_allclose(torch.cat(logits), case.arrays["logits"], rtol=0, atol=1e-5)
    found = evaluator.evaluate()
    recorded = [spec["stats"][name] for name in ("acc1", "acc5", "loss")]
    np.testing.assert_allclose(list(found["accuracy_published"].values()), recorded, rtol=1e-6)
    expected_loss = nn.functional.cross_entropy(case.tensor("logits").double(), torch.arange(spec["num_classes"]))
    np.testing.assert_allclose(list(found["accuracy"].values()), [*recorded[:2], expected_loss], rtol=1e-6)


@family("head_slice_")
def check_subset(case: GoldenCase) -> None:
    subset = case.name.removeprefix("head_slice_")
    numbers = list(imagenet_classes(subset).values())
    np.testing.assert_array_equal(numbers, case.arrays["class_indices"])

    # The 200 outputs of a sliced head are those that the evaluation selects from 1000.
    generator = np.random.Generator(np.random.PCG64(case.spec["seed"]))
    width = case.arrays["head_weight"].shape[1]
    whole, sliced = nn.Linear(width, 1000), nn.Linear(width, len(numbers))
    weights = [generator.standard_normal(shape).astype(np.float32) for shape in ((1000, width), 1000)]
    with torch.no_grad():
        for parameter, value in zip(whole.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value))
        sliced.weight.copy_(case.tensor("head_weight"))
        sliced.bias.copy_(case.tensor("head_bias"))
        features = torch.from_numpy(generator.standard_normal((400, width)).astype(np.float32))
        batch = {"label": torch.tensor(numbers * 2), "file_name": ["image"] * 400}
        results = []
        for head in (whole, sliced):
            evaluator = ClassificationEvaluator(subset=subset)
            evaluator.process(batch, head(features))
            results.append(evaluator.evaluate()["accuracy"])
    assert results[0]["top5"] > 0
    np.testing.assert_allclose(*([result[name] for name in ("top1", "top5", "loss")] for result in results), rtol=1e-5)
    np.testing.assert_array_equal(weights[0][numbers], case.arrays["head_weight"])
    np.testing.assert_array_equal(weights[1][numbers], case.arrays["head_bias"])


@family("real_scoring")
def check_real(case: GoldenCase) -> None:
    spec, logits = case.spec, case.tensor("logits")
    names = [f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(logits) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "real.json")
        path.write_text(json.dumps(spec["labels"]))
        evaluator = ClassificationEvaluator(RealLabels(str(path)))
    for part in torch.arange(len(logits)).split(7):
        batch = {"label": torch.zeros(len(part), dtype=torch.long), "file_name": [names[i] for i in part]}
        evaluator.process(batch, logits[part])
    found = evaluator.evaluate()["accuracy"]
    np.testing.assert_allclose([found["top1"], found["top5"]], [spec["top1"], spec["top5"]], rtol=1e-12)
    assert evaluator._accumulators["accuracy"].images == spec["scored"]
