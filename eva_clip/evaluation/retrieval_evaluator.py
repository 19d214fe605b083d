"""Retrieval of captions by images and of images by captions."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.logger import create_small_table
from omegaconf import DictConfig
from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_engine.finite_outputs import finite_outputs
from eva_engine.processes import run_on_rank_zero
from eva_engine.report.sections import Section
from eva_engine.training.distributed.gathering import gather_records

from .recall import best_positive_ranks, recall_at_k
from .worst_queries import RankedQueries, find_worst

logger = logging.getLogger(__name__)

TEXT_TO_IMAGE, IMAGE_TO_TEXT = "text_to_image", "image_to_text"


class RetrievalEvaluator(DatasetEvaluator):
    """Compute recall@k in both directions for a `Clip`, from batches of `build_retrieval_loader` in all processes.

    Each caption is a query for its image. An image is a query for any of its captions: the best of them counts.
    Unreadable images count as failed in both directions, and are not candidates.

    Args:
        cutoffs: Values of k.
    """

    metric_names = tuple(f"{task}/R@{k}" for task in (TEXT_TO_IMAGE, IMAGE_TO_TEXT) for k in (1, 5, 10))

    def __init__(self, cutoffs: Sequence[int] = (1, 5, 10)) -> None:
        if not cutoffs or min(cutoffs) < 1:
            raise InputError(f"the cutoffs {list(cutoffs)} of recall must be positive numbers.")
        self._cutoffs = tuple(cutoffs)
        self.reset()

    def reset(self) -> None:
        """Discard all features."""
        self._device = torch.device("cpu")
        self._images: list[dict[str, Any]] = []
        self._captions: list[dict[str, Any]] = []
        self._ranked: RankedQueries | None = None  # of the last evaluation

    def process(self, inputs: Mapping[str, Any], outputs: Mapping[str, Tensor]) -> None:
        """Collect the features of a batch of images or of captions.

        Raises:
            InputError: The features are not finite.
        """
        is_text = "text" in inputs
        kind = "text" if is_text else "image"
        features = finite_outputs(outputs[f"{kind}_features"], f"{kind} features")
        self._device = features.device
        # Rows are copied, because a view would keep the features of the complete batch in memory or in a message.
        rows = features.cpu().numpy()
        if is_text:
            for file, row in zip(inputs["target"], rows, strict=True):
                self._captions.append({"file": file, "feature": row.copy()})
            return
        for file, label, row in zip(inputs["file_name"], inputs["label"].tolist(), rows, strict=True):
            self._images.append({"file": file, "feature": None if label == UNREADABLE else row.copy()})

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Compute recall@k over all processes.

        With several processes this consumes the collected features; call `reset` before the next evaluation.

        Returns:
            {"text_to_image": {"R@1": ..., "R@5": ..., "R@10": ...}, "image_to_text": {...}} in percent on rank 0; {} on
            other ranks.

        Raises:
            InputError: No image of the dataset could be read.
        """
        images, captions = gather_records(self._images), gather_records(self._captions)
        return run_on_rank_zero(lambda: self._measure(images, captions)) or {}

    def _measure(self, images: list[dict[str, Any]], captions: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
        readable = [image for image in images if image["feature"] is not None]
        if not readable:
            raise InputError("no image of the dataset could be read; check the image folder.")
        image_index = {image["file"]: index for index, image in enumerate(readable)}
        captions_of_image: list[list[int]] = [[] for _ in readable]
        # Captions of unreadable images stay candidates for other images, but are not queries: they count as failed.
        query_captions: list[int] = []
        image_of_query: list[list[int]] = []
        for caption_index, caption in enumerate(captions):
            index = image_index.get(caption["file"])
            if index is not None:
                captions_of_image[index].append(caption_index)
                query_captions.append(caption_index)
                image_of_query.append([index])
        image_features, caption_features = self._stack(readable), self._stack(captions)
        caption_ranks = best_positive_ranks(caption_features[query_captions], image_features, image_of_query)
        image_ranks = best_positive_ranks(image_features, caption_features, captions_of_image)
        self._ranked = RankedQueries(
            [image["file"] for image in readable],
            caption_ranks,
            image_ranks,
            find_worst(caption_features[query_captions], image_features, caption_ranks, query_captions),
            find_worst(image_features, caption_features, image_ranks, range(len(readable))),
            len(captions),
            len(images),
        )
        results = {
            TEXT_TO_IMAGE: recall_at_k(caption_ranks, self._cutoffs, len(captions)),
            IMAGE_TO_TEXT: recall_at_k(image_ranks, self._cutoffs, len(images)),
        }
        for task, metrics in results.items():
            logger.info(
                "%s over %d images and %d captions:\n%s", task, len(images), len(captions), create_small_table(metrics)
            )
        if len(readable) < len(images):
            logger.warning("Unreadable images, which count as failed: %d", len(images) - len(readable))
        return results

    def explain(self, cfg: DictConfig, loader: Any) -> list[Section]:
        """Explain the last evaluation; see `eva_engine.report.explanation.Explains`."""
        del cfg
        if self._ranked is None:
            return []
        from .retrieval_explanation import explain_retrieval  # needs what only a page needs

        return explain_retrieval(self._ranked, loader.texts.texts, loader.dataset)

    def _stack(self, records: Sequence[Mapping[str, Any]]) -> Tensor:
        return torch.from_numpy(np.stack([record["feature"] for record in records])).to(self._device)
