"""Exports of segmentation models: the scores of one window; windows are cut and merged outside of the graph."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_deploy.exported_model import ExportedModel, GraphFunction
from eva_deploy.graph import ExportGraph, GraphInput
from eva_deploy.task_export import Agreement, ExportOptions, TaskExport
from eva_engine.config.instantiation import instantiate
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.predictor import Predictor

from .feature_maps import COARSEST, pad_sides
from .inference import ViewInference
from .segmenter import Segmenter, resize_to_pixels

GRAPH, PIXELS, SCORES = "model", "pixels", "scores"
_LARGEST_SIDE = 4096


class SegmentationExport(TaskExport):
    """Export UperNet and Mask2Former for windows of one size, or of any size that is a multiple of 32."""

    tolerances: ClassVar = {
        "float32": {"probability": 1e-2},
        "float16": {"probability": 0.1},
        "bfloat16": {"probability": 0.3},
    }
    example = "eva_semseg.export_example"

    def graphs(self, predictor: Predictor[Any, Any], options: ExportOptions) -> Sequence[ExportGraph]:
        """Return the graph of the model for windows of the recipe's size, or of `options.image_size`."""
        model: Any = predictor.model
        batch: int | str = options.batch_size or "batch"
        size = options.batch_size or 2
        if options.dynamic_size:
            sides = {"height": COARSEST, "width": COARSEST}
            largest = dict.fromkeys(sides, _LARGEST_SIDE)
            pixels = GraphInput(PIXELS, (batch, 3, "height", "width"), multiple_of=sides, largest=largest)
            height, width = 4 * COARSEST, 6 * COARSEST
        else:
            height, width = _window_size(model, options.image_size)
            pixels = GraphInput(PIXELS, (batch, 3, height, width))
        example = torch.zeros(size, 3, height, width)
        return [ExportGraph(GRAPH, _WindowScores(model), (pixels,), (SCORES,), (example,))]

    def settings(self, predictor: Predictor[Any, Any], options: ExportOptions) -> dict[str, Any]:  # noqa: ARG002
        """Return the number of classes, the windows, the sizes of the image and the normalisation."""
        inference: ViewInference = predictor.model.inference  # type: ignore[assignment]
        views: Any = predictor.views  # type: ignore[attr-defined]
        return {
            "num_classes": len(predictor.class_names),
            "window": None if inference.windows.size is None else list(inference.windows.size),
            "stride": list(inference.windows.stride),
            "mean": inference.pixel_mean.flatten().tolist(),
            "std": inference.pixel_std.flatten().tolist(),
            "long_side": getattr(views, "long_side", None),
            "short_side": getattr(views, "short_side", None),
            "divisor": getattr(views, "divisor", None),
            "min_side": getattr(views, "min_side", 0),
        }

    def stand_in(self, exported: ExportedModel, cfg: Any) -> nn.Module:
        """Return a module with the interface of `Segmenter`."""
        inference = instantiate(cfg.model.inference) if cfg.model.get("inference") is not None else None
        return ExportedSegmenter(exported.graphs[GRAPH], int(exported.settings["num_classes"]), inference)

    def compare(
        self, original: Predictor[Any, Any], exported: Predictor[Any, Any], samples: Sequence[Any]
    ) -> Agreement:
        """Compare the probabilities of all classes, and the class of every pixel."""
        agreement = Agreement()
        for sample in samples:
            height, width = sample.size
            image = {"views": sample.inputs, "height": height, "width": width}
            with torch.inference_mode():
                first, second = (predictor.model([image])[0]["sem_seg"] for predictor in (original, exported))
            same = int((first.argmax(0) == second.argmax(0)).sum())
            largest = float((first - second).abs().max())
            agreement += Agreement({"probability": largest}, same, height * width)
        return agreement


class _WindowScores(nn.Module):
    """The scores of a segmentation model at a quarter of the resolution."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model._class_scores(self.model.backbone(pixels))


class ExportedSegmenter(Segmenter):
    """An exported segmentation model in place of the one of PyTorch.

    Args:
        graph: The exported graph.
        num_classes: Number of classes, K.
        inference: Sliding windows and normalisation; None for the default of `Segmenter`.
    """

    def __init__(self, graph: GraphFunction, num_classes: int, inference: ViewInference | None) -> None:
        super().__init__(nn.Identity(), nn.Identity(), inference)
        self._graph, self._num_classes = graph, num_classes

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return self._num_classes

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu")

    def _window_scores(self, pixels: Tensor) -> Tensor:
        """Return the scores of windows that are padded to the size of the graph, as the model pads them."""
        height, width = pixels.shape[2:]
        expected = self._graph.shapes[0][2:]
        if all(isinstance(side, int) for side in expected):
            if height > expected[0] or width > expected[1]:
                raise InputError(
                    f"the exported model takes windows of {expected[1]}x{expected[0]} pixels, this one has "
                    f"{width}x{height}; give --slice {min(expected)}, or export the model with --dynamic-size."
                )
            padded = nn.functional.pad(pixels, (0, expected[1] - width, 0, expected[0] - height))
        else:
            padded = pad_sides(pixels, COARSEST)
        scores = self._graph(padded)[SCORES]
        if padded.shape != pixels.shape:
            scores = resize_to_pixels(scores, height, width)
        return finite_outputs(scores, "scores")


def _window_size(model: Segmenter, image_size: int | None) -> tuple[int, int]:
    """Return (height, width) of the graph's windows."""
    windows = model.inference.windows.size
    if image_size is None and windows is None:
        raise InputError(
            "the recipe predicts images of any size as a whole; give --image-size PIXELS, the largest side of an "
            "image after its resize, or --dynamic-size."
        )
    height, width = windows if image_size is None else (image_size, image_size)
    if height % COARSEST or width % COARSEST:
        raise InputError(f"windows of {width}x{height} pixels are not multiples of {COARSEST}; give another size.")
    if windows is not None and (windows[0] > height or windows[1] > width):
        raise InputError(
            f"--image-size {image_size} is smaller than the windows of the recipe, {windows[1]}x{windows[0]}; set "
            "model.inference.windows.size too."
        )
    return int(height), int(width)
