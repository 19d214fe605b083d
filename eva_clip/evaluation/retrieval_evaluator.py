"""Retrieval of captions by images and of images by captions."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.logger import create_small_table
from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_engine.finite_outputs import finite_outputs
from eva_engine.training.distributed.gathering import gather_records, run_on_first

from .retrieval import best_ranks, recall_at

logger = logging.getLogger(__name__)

TEXT_TO_IMAGE, IMAGE_TO_TEXT = "text_to_image", "image_to_text"


class RetrievalEvaluator(DatasetEvaluator):
    """Recall@k both ways for `Clip` on the batches of `retrieval_loader`, over all processes.

    An image is found by each of its captions; an image has found a caption if any one of its own is among the first k.
    Every image that could not be read counts as failed in both directions and is no candidate.

    Args:
        cutoffs: the k.
    """

    metric_names = tuple(f"{task}/R@{k}" for task in (TEXT_TO_IMAGE, IMAGE_TO_TEXT) for k in (1, 5, 10))

    def __init__(self, cutoffs: Sequence[int] = (1, 5, 10)) -> None:
        if not cutoffs or min(cutoffs) < 1:
            raise InputError(f"the cutoffs {list(cutoffs)} of recall must be positive numbers.")
        self._cutoffs = tuple(cutoffs)
        self.reset()

    def reset(self) -> None:
        """Forget all features."""
        self._device = torch.device("cpu")
        self._images: list[dict[str, Any]] = []
        self._captions: list[dict[str, Any]] = []

    def process(self, inputs: Mapping[str, Any], outputs: Mapping[str, Tensor]) -> None:
        """Take the features of a batch of images or of captions.

        Raises:
            InputError: features that are no finite numbers.
        """
        is_text = "text" in inputs
        kind = "text" if is_text else "image"
        features = finite_outputs(outputs[f"{kind}_features"], f"{kind} features")
        self._device = features.device
        values = features.cpu().numpy()
        if is_text:
            owned = zip(inputs["owner"], values, strict=True)
            self._captions += [{"file": file, "feature": value.copy()} for file, value in owned]
            return
        for file, label, value in zip(inputs["file_name"], inputs["label"].tolist(), values, strict=True):
            self._images.append({"file": file, "feature": None if label == UNREADABLE else value.copy()})

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"text_to_image": {"R@1": ..., "R@5": ..., "R@10": ...}, "image_to_text": ...} in per cent.

        {} on every process but the first. Gathering several processes' features uses them up: `reset` before the next
        evaluation.
        """
        images, captions = gather_records(self._images), gather_records(self._captions)
        return run_on_first(lambda: self._measure(images, captions)) or {}

    def _measure(self, images: list[dict[str, Any]], captions: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
        num_images, num_captions = len(images), len(captions)
        images = [image for image in images if image["feature"] is not None]
        number_of_file = {image["file"]: number for number, image in enumerate(images)}
        own: list[list[int]] = [[] for _ in images]
        for number, caption in enumerate(captions):
            if caption["file"] in number_of_file:
                own[number_of_file[caption["file"]]].append(number)
        if not images:
            raise InputError("no image of the data set could be read; check the image folder.")
        image_features, caption_features = self._stack(images), self._stack(captions)
        found = [number for number, caption in enumerate(captions) if caption["file"] in number_of_file]
        by_caption = best_ranks(
            caption_features[found], image_features, [[number_of_file[captions[number]["file"]]] for number in found]
        )
        by_image = best_ranks(image_features, caption_features, own)
        results = {
            TEXT_TO_IMAGE: recall_at(by_caption, self._cutoffs, num_captions),
            IMAGE_TO_TEXT: recall_at(by_image, self._cutoffs, num_images),
        }
        for task, metrics in results.items():
            logger.info(
                "%s over %d images and %d captions:\n%s", task, num_images, num_captions, create_small_table(metrics)
            )
        if len(images) < num_images:
            logger.warning("Images that could not be read, and count as failed: %d", num_images - len(images))
        return results

    def _stack(self, records: Sequence[Mapping[str, Any]]) -> Tensor:
        return torch.from_numpy(np.stack([record["feature"] for record in records])).to(self._device)
