"""Exports of classifiers: pixels in, logits out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms as T

from eva_backbone.errors import InputError
from eva_deploy.exported_model import ExportedModel, GraphFunction
from eva_deploy.graph import ExportGraph, GraphInput
from eva_deploy.task_export import Agreement, ExportOptions, TaskExport
from eva_engine.prediction.predictor import Predictor

GRAPH, PIXELS, LOGITS = "model", "pixels", "logits"


class ClassifierExport(TaskExport):
    """Export classifiers of images; preprocessing is that of the recipe's evaluation."""

    tolerances: ClassVar = {
        "float32": {"probability": 1e-3},
        "float16": {"probability": 0.02},
        "bfloat16": {"probability": 0.1},
    }
    example = "eva_classification.export_example"

    def graphs(self, predictor: Predictor[Any, Any], options: ExportOptions) -> Sequence[ExportGraph]:
        """Return the graph of the classifier for the size of the images that the predictor's transform makes."""
        shape = transformed_shape(predictor.transform)  # type: ignore[attr-defined]
        check_fixed_size(options, shape[-1])
        return [classifier_graph(predictor.model, shape, options)]

    def settings(self, predictor: Predictor[Any, Any], options: ExportOptions) -> dict[str, Any]:  # noqa: ARG002
        """Return the number of classes and the preprocessing."""
        transform = describe_transform(predictor.transform)  # type: ignore[attr-defined]
        return {"num_classes": len(predictor.class_names), "transform": transform}

    def stand_in(self, exported: ExportedModel, cfg: Any) -> nn.Module:  # noqa: ARG002
        """Return a module with logits as its outputs, for images in `batch["image"]`."""
        return ExportedClassifier(exported.graphs[GRAPH], int(exported.settings["num_classes"]), "image")

    def compare(
        self, original: Predictor[Any, Any], exported: Predictor[Any, Any], samples: Sequence[Any]
    ) -> Agreement:
        """Compare the probabilities of all classes, and the most likely class."""
        largest, matched = 0.0, 0
        for first, second in zip(original.predict(samples), exported.predict(samples), strict=True):
            largest = max(largest, float(abs(first.probabilities - second.probabilities).max()))
            matched += int(first.class_ids[0] == second.class_ids[0])
        return Agreement({"probability": largest}, matched, len(samples))


class ExportedClassifier(nn.Module):
    """An exported classifier in place of the one of PyTorch.

    Args:
        graph: The exported graph.
        num_classes: Number of classes, K.
        key: Entry of a batch with the pixels.
    """

    def __init__(self, graph: GraphFunction, num_classes: int, key: str) -> None:
        super().__init__()
        self._graph, self.num_classes, self._key = graph, num_classes, key

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor:
        """Return logits [B, K] of pixels, or of a batch with pixels."""
        pixels = batch if isinstance(batch, Tensor) else batch[self._key]
        return self._graph(pixels)[LOGITS]


def classifier_graph(model: nn.Module, shape: Sequence[int], options: ExportOptions) -> ExportGraph:
    """Return the graph of a module that maps pixels [B, *shape] to logits."""
    batch: int | str = options.batch_size or "batch"
    example = torch.zeros(options.batch_size or 2, *shape)
    return ExportGraph(GRAPH, model, (GraphInput(PIXELS, (batch, *shape)),), (LOGITS,), (example,))


def check_fixed_size(options: ExportOptions, size: int) -> None:
    """Raise InputError if the user asks for another size of the images than the recipe's transform makes."""
    if options.dynamic_size or options.image_size not in (None, size):
        raise InputError(
            f"the recipe transforms every image to {size} pixels, which is the size of the exported model; leave "
            "--image-size and --dynamic-size out, or change the size in the recipe."
        )


def transformed_shape(transform: Callable[[Image.Image], Tensor]) -> tuple[int, ...]:
    """Return the shape of the pixels that a transform makes of an image."""
    return tuple(transform(Image.new("RGB", (640, 480))).shape)


def describe_transform(transform: Any) -> dict[str, Any] | None:
    """Return a transform in numbers, for runners without PyTorch; None if it has other steps than expected."""
    found: dict[str, Any] = {}
    for step in getattr(transform, "transforms", ()):
        if isinstance(step, T.Resize) and isinstance(step.size, int):
            found.update(resize=step.size, interpolation=T.InterpolationMode(step.interpolation).value)
        elif isinstance(step, T.CenterCrop):
            found["crop"] = [int(side) for side in step.size]
        elif isinstance(step, T.Normalize):
            found.update(mean=[float(value) for value in step.mean], std=[float(value) for value in step.std])
        elif not type(step).__name__.endswith("ToTensor"):
            return None
    return found if {"resize", "crop", "mean"} <= found.keys() else None
