"""Exports of detectors: padded images in, a fixed number of detections with their masks out."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from eva_backbone.errors import InputError
from eva_deploy.exported_model import ExportedModel
from eva_deploy.graph import ExportGraph, GraphInput
from eva_deploy.task_export import Agreement, ExportOptions, TaskExport
from eva_engine.config.class_list import store_categories
from eva_engine.config.config_file import config_text
from eva_engine.config.trusted_names import join_key
from eva_engine.config.yaml_data import parse_yaml
from eva_engine.prediction.predictor import Predictor

from ..prediction.limits import detection_limit
from .agreement import BOX, MASK, SCORE, compare_detections
from .exported_detector import ExportedDetector
from .fixed_detector import FixedDetector

GRAPH, IMAGES, SIZES = "model", "images", "sizes"
# Number of detections of a recipe without a limit: as many as the evaluation of LVIS counts, COCO's counts 100.
_NUM_DETECTIONS = 300


class DetectionExport(TaskExport):
    """Export detectors with boxes, or with boxes and masks, for the square that the recipe pads images to."""

    # In lower precision, near ties change which of two overlapping boxes lowers the score of the other, and a box that
    # moves by pixels moves the border of its mask: scores and masks of single objects then differ at will.
    tolerances: ClassVar = {
        "float32": {BOX: 0.1, SCORE: 1e-3, MASK: 1e-2},
        "float16": {BOX: 8.0, SCORE: 0.1},
        "bfloat16": {BOX: 16.0},
        "int8": {BOX: 32.0},
    }
    example = "detectron2_ext.export.example"

    def graphs(self, predictor: Predictor[Any, Any], options: ExportOptions) -> Sequence[ExportGraph]:
        """Return the graph of the detector; it gives as many detections as the recipe allows, 300 without a limit."""
        model: Any = predictor.model
        side = _square_size(model, options)
        batch: int | str = options.batch_size or "batch"
        example_size = options.batch_size or 2
        detector = FixedDetector(model, _num_detections(predictor))
        inputs = (GraphInput(IMAGES, (batch, 3, side, side)), GraphInput(SIZES, (batch, 2), "int64"))
        example = torch.zeros(example_size, 3, side, side), torch.full((example_size, 2), side)
        return [ExportGraph(GRAPH, detector, inputs, detector.outputs, example)]

    def settings(self, predictor: Predictor[Any, Any], options: ExportOptions) -> dict[str, Any]:
        """Return the limits of the graph, and what a runner needs to prepare images."""
        model: Any = predictor.model
        side = _square_size(model, options)
        return {
            "num_classes": model.roi_heads.num_classes,
            "square_size": side,
            "num_detections": _num_detections(predictor),
            "num_proposals": model.proposal_generator.post_nms_topk[False],
            "image_format": predictor.image_format,  # type: ignore[attr-defined]
            "resize": _describe_resize(predictor.resize, side),  # type: ignore[attr-defined]
            "category_ids": list(predictor.categories.ids),  # type: ignore[attr-defined]
        }

    def stand_in(self, exported: ExportedModel, cfg: Any) -> nn.Module:
        """Return a detector that runs the file.

        Raises:
            InputError: The user has changed the model of the recipe.
        """
        _check_unchanged(exported, cfg)
        large_images = cfg.model.get("large_images", "refuse")
        return ExportedDetector(exported.graphs[GRAPH], exported.settings, large_images)

    def store_names(self, cfg: Any, predictor: Predictor[Any, Any]) -> None:
        """Store the names and the ids of the categories."""
        categories = predictor.categories  # type: ignore[attr-defined]
        store_categories(cfg, dict(zip(categories.ids, categories.names, strict=True)))

    def compare(
        self, original: Predictor[Any, Any], exported: Predictor[Any, Any], samples: Sequence[Any]
    ) -> Agreement:
        """Compare the detections of all scores, in pixels of the images."""
        agreement = Agreement()
        # The original of a recipe without a limit returns more than the file.
        first: Any = original.with_options(max_detections=exported.model.num_detections)
        second: Any = exported
        with torch.inference_mode():
            for sample in samples:
                pair = []
                for predictor in (first, second):
                    predictor.apply_limits()
                    (found,) = predictor.detect([sample], 0.0)
                    pair.append(found.instances.to("cpu"))
                agreement += compare_detections(*pair)
        return agreement


def _square_size(model: Any, options: ExportOptions) -> int:
    """Return the side of the images of the graph.

    Raises:
        InputError: The recipe has no square, or the user asks for another size.
    """
    side = int(model.backbone.padding_constraints.get("square_size", 0))
    if side == 0:
        raise InputError("the recipe does not pad images to a square; set model.backbone.square_pad to its side.")
    if options.dynamic_size or options.image_size not in (None, side):
        wanted = options.image_size or 512
        resize = "dataloader.test.mapper.augmentations.0"
        raise InputError(
            f"a detector is exported for the square that its recipe pads images to, of {side} pixels; leave "
            f"--image-size and --dynamic-size out, and for another size change the recipe: "
            f"model.backbone.square_pad={wanted} {resize}.short_edge_length={wanted} {resize}.max_size={wanted}"
        )
    return side


def _num_detections(predictor: Any) -> int:
    if predictor.max_detections is not None:
        return predictor.max_detections
    limit, _ = detection_limit(predictor.model.roi_heads)
    return limit if limit >= 0 else _NUM_DETECTIONS


def _describe_resize(resize: Any, square_size: int) -> dict[str, Any]:
    """Return the sizes of the recipe's resize for images, or those of a resize to the square if it has another one."""
    for augmentation in getattr(resize, "augs", [resize]):
        if hasattr(augmentation, "short_edge_length"):
            lengths = augmentation.short_edge_length
            short = lengths if isinstance(lengths, int) else lengths[0]
            return {"short_edge_length": int(short), "max_size": int(min(augmentation.max_size, square_size))}
        if hasattr(augmentation, "shape"):
            return {"height": int(augmentation.shape[0]), "width": int(augmentation.shape[1])}
    return {"short_edge_length": square_size, "max_size": square_size}


def _check_unchanged(exported: ExportedModel, cfg: Any) -> None:
    """Raise InputError if the model of the recipe is not that of the file, whose settings cannot change any more."""
    recipes = exported.metadata.recipe, config_text(cfg)
    own, given = (_flat(parse_yaml(text, exported.path)["model"]) for text in recipes)
    for key in sorted(own.keys() | given.keys()):
        if own.get(key) != given.get(key) and key != "large_images":
            raise InputError(
                f"model.{key} is {given.get(key)}, but {exported.path} was exported with {own.get(key)}; leave the "
                "change out, or export the model again with it."
            )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict | list) or not node:
        return {prefix: node}
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    flat: dict[str, Any] = {}
    for key, value in pairs:
        flat.update(_flat(value, join_key(prefix, key)))
    return flat
