"""Zero-shot accuracy: images scored by a classifier made of sentences."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_classification.evaluation import AnswerKey
from eva_classification.evaluation.accuracy import AccuracyAccumulator, top_outputs
from eva_engine.finite_outputs import finite_outputs
from eva_engine.training.distributed.gathering import gather_values

from .class_recall import ClassRecall
from .zero_shot_classifier import ClassDirections

logger = logging.getLogger(__name__)

TASK = "zero_shot"
# Published numbers were scored with it in place of the learned scale; only the loss depends on it.
LOGIT_SCALE = 100.0
_IMAGES_AT_ONCE = 1024


class ZeroShotEvaluator(DatasetEvaluator):
    """Scores `Clip` on the batches of `zero_shot_loader`, over all processes, in one pass over images and prompts.

    Image features are kept, 4 KB each at 1024 dimensions; prompts are not, they are added up for each class.

    Args:
        answers: which predictions are right; by default the image's class.
    """

    metric_names = tuple(f"{TASK}/{metric}" for metric in ("top1", "top5", "mean_recall", "loss"))

    def __init__(self, answers: AnswerKey | None = None) -> None:
        self._answers = answers or AnswerKey()
        self.reset()

    def reset(self) -> None:
        """Forget all features."""
        self._features: list[Tensor] = []
        self._accepted: list[tuple[int, ...]] = []
        self._directions = ClassDirections()

    def process(self, inputs: Mapping[str, Any], outputs: Mapping[str, Tensor]) -> None:
        """Take the features of a batch of images or of prompts.

        Raises:
            InputError: features that are no finite numbers.
        """
        if "text" in inputs:
            self._directions.add(finite_outputs(outputs["text_features"], "text features"), inputs["owner"])
            return
        features = finite_outputs(outputs["image_features"], "image features").cpu()
        for file, label, feature in zip(inputs["file_name"], inputs["label"].tolist(), features, strict=True):
            accepted = self._answers.accepted(label, file)
            if accepted:
                self._features.append(feature)
                self._accepted.append((UNREADABLE,) if label == UNREADABLE else accepted)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Accuracies, mean per-class recall in percent and the mean loss; {} on every process but the first.

        Returns:
            {"zero_shot": {"top1": ..., "top5": ..., "mean_recall": ..., "loss": ...}}. Where images have several right
            classes there is neither a recall nor a loss. An image that could not be read is wrong in the accuracies;
            its class is unknown to the recall.

        Raises:
            InputError: images of a class that no prompt names.
        """
        weights = self._gathered_weights()
        tally, recall = AccuracyAccumulator(), ClassRecall()
        for start in range(0, len(self._features), _IMAGES_AT_ONCE):
            part = slice(start, start + _IMAGES_AT_ONCE)
            logits = LOGIT_SCALE * torch.stack(self._features[part]).to(weights) @ weights.T
            _score(logits, self._accepted[part], tally, recall)
        single = all(len(accepted) == 1 for accepted in self._accepted)
        parts = gather_values((tally, recall, single))
        if not comm.is_main_process():
            return {}
        tallies, recalls, singles = zip(*parts, strict=True)
        tally = sum(tallies, AccuracyAccumulator())
        metrics = tally.metrics()
        if all(singles):
            metrics["mean_recall"] = sum(recalls, ClassRecall()).mean()
        logger.info(
            "Zero-shot accuracy over %d images and %d classes:\n%s",
            tally.images,
            len(weights),
            create_small_table(metrics),
        )
        if tally.unreadable:
            logger.warning("Images that could not be read, and count as wrong: %d", tally.unreadable)
        return {TASK: metrics}

    def _gathered_weights(self) -> Tensor:
        total, own = ClassDirections(), self._directions.sums
        # A process may have no prompt where there are few.
        for sums in gather_values(None if own is None else own.cpu()):
            if sums is not None:
                total.add(sums, range(len(sums)))
        return total.weights() if own is None else total.weights().to(own.device)


def _score(
    logits: Tensor, accepted: Sequence[tuple[int, ...]], tally: AccuracyAccumulator, recall: ClassRecall
) -> None:
    best, losses = top_outputs(logits), -logits.log_softmax(dim=1).cpu()
    for ranked, right, row in zip(best, accepted, losses, strict=True):
        if right == (UNREADABLE,):
            tally.add_unreadable()
            continue
        if max(right) >= logits.shape[1]:
            raise InputError(
                f"an image is of class {max(right)}, but the prompts name {logits.shape[1]} classes; give a name for "
                "every class, in the order of the numbers."
            )
        tally.add(ranked, right, row)
        if len(right) == 1:
            recall.add(right[0], ranked[0] == right[0])
