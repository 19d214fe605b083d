"""Exports of video classifiers: one clip in, logits out; the views of a video are averaged outside."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from eva_backbone.errors import InputError
from eva_classification.export import GRAPH, ClassifierExport, ExportedClassifier, classifier_graph
from eva_deploy.exported_model import ExportedModel
from eva_deploy.graph import ExportGraph
from eva_deploy.task_export import ExportOptions
from eva_engine.prediction.predictor import Predictor

from .data.transforms import EvaluationTransform


class VideoExport(ClassifierExport):
    """Export video classifiers; the frames are those that the recipe's evaluation takes."""

    example = "eva_video.export_example"

    def graphs(self, predictor: Predictor[Any, Any], options: ExportOptions) -> Sequence[ExportGraph]:
        """Return the graph of the classifier for clips [B, 3, T, S, S] of the predictor's frames."""
        shape = self._clip_shape(predictor)
        if options.dynamic_size or options.image_size not in (None, shape[-1]):
            raise InputError(
                f"the recipe makes clips of {shape[1]} frames of {shape[-1]} pixels, which is the size of the exported "
                "model; leave --image-size and --dynamic-size out, or change the size in the recipe."
            )
        return [classifier_graph(predictor.model, shape, options)]

    def settings(self, predictor: Predictor[Any, Any], options: ExportOptions) -> dict[str, Any]:  # noqa: ARG002
        """Return the number of classes, the size of a clip and the normalisation of its pixels.

        A transform that does more than normalise is None, so that no example is written.
        """
        transform = predictor.mapper.transform  # type: ignore[attr-defined]
        _, num_frames, size, _ = self._clip_shape(predictor)
        sizes = {"num_classes": len(predictor.class_names), "num_frames": num_frames, "size": size}
        if not isinstance(transform, EvaluationTransform):
            return {**sizes, "transform": None}
        mean, std = ([float(value) for value in np.ravel(values)] for values in (transform.mean, transform.std))
        return {**sizes, "mean": mean, "std": std}

    def stand_in(self, exported: ExportedModel, cfg: Any) -> nn.Module:  # noqa: ARG002
        """Return a module with logits as its outputs, for clips in `batch["video"]`."""
        return ExportedClassifier(exported.graphs[GRAPH], int(exported.settings["num_classes"]), "video")

    @staticmethod
    def _clip_shape(predictor: Predictor[Any, Any]) -> tuple[int, ...]:
        mapper = predictor.mapper  # type: ignore[attr-defined]
        sampler = mapper.frame_sampler
        frame = mapper.transform.prepare(np.zeros((240, 320, 3), np.uint8))
        pixels, _ = mapper.transform(np.stack([frame] * sampler.num_clips * sampler.num_frames), sampler.num_clips)
        return pixels.shape[1:]
