"""Zero-shot accuracy: images classified by their similarity to the prompts of the classes."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from omegaconf import DictConfig
from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_classification.evaluation import LabelMapping
from eva_classification.evaluation.accuracy import AccuracyAccumulator, top_outputs
from eva_classification.evaluation.scored_sample import score_sample
from eva_engine.finite_outputs import finite_outputs
from eva_engine.report.sections import Section
from eva_engine.training.distributed.gathering import gather_records, gather_values

from .zero_shot_classifier import ZeroShotWeightAccumulator

logger = logging.getLogger(__name__)

TASK = "zero_shot"
# Published results were computed with this scale instead of the learned one. It affects only the loss.
LOGIT_SCALE = 100.0
_IMAGES_AT_ONCE = 1024


class ClassRecallAccumulator:
    """Counts for the mean per-class recall, in which every class has the same weight, however many images it has."""

    def __init__(self) -> None:
        self.images: Counter[int] = Counter()
        self.hits: Counter[int] = Counter()

    def add(self, class_number: int, is_correct: bool) -> None:
        """Count an image of a class and whether its prediction is correct."""
        self.images[class_number] += 1
        if is_correct:
            self.hits[class_number] += 1

    def __add__(self, other: "ClassRecallAccumulator") -> "ClassRecallAccumulator":
        total = ClassRecallAccumulator()
        for part in (self, other):
            total.images.update(part.images)
            total.hits.update(part.hits)
        return total

    def mean(self) -> float:
        """Return the mean recall in percent over the classes that have images; NaN without images."""
        if not self.images:
            return float("nan")
        recalls = [self.hits[class_number] / count for class_number, count in self.images.items()]
        return 100 * sum(recalls) / len(recalls)


class ZeroShotEvaluator(DatasetEvaluator):
    """Evaluate a `Clip` on batches of `build_zero_shot_loader` in all processes, in one pass over images and prompts.

    Image features are kept until all prompts are encoded, 4 KB per image at 1024 dimensions. Prompt features are summed
    per class and not kept.

    Args:
        label_mapping: Which classes are correct for an image; by default the label of the dataset.
    """

    metric_names = tuple(f"{TASK}/{metric}" for metric in ("top1", "top5", "mean_recall", "loss"))

    def __init__(self, label_mapping: LabelMapping | None = None) -> None:
        self._label_mapping = LabelMapping() if label_mapping is None else label_mapping
        self.reset()

    def reset(self) -> None:
        """Discard all features."""
        self._features: list[Tensor] = []
        self._correct: list[tuple[int, ...]] = []
        self._files: list[str] = []
        self._samples: list[dict[str, Any]] = []  # see `score_sample`, of all processes
        self._weights = ZeroShotWeightAccumulator()

    def process(self, inputs: Mapping[str, Any], outputs: Mapping[str, Tensor]) -> None:
        """Collect the features of a batch of images or of prompts.

        Raises:
            InputError: The features are not finite.
        """
        if "text" in inputs:
            self._weights.add(finite_outputs(outputs["text_features"], "text features"), inputs["target"])
            return
        features = finite_outputs(outputs["image_features"], "image features").cpu()
        for file, label, feature in zip(inputs["file_name"], inputs["label"].tolist(), features, strict=True):
            correct = self._label_mapping.correct_classes(label, file)
            if correct:
                self._files.append(file)
                self._features.append(feature)
                self._correct.append((UNREADABLE,) if label == UNREADABLE else correct)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Compute accuracies and mean per-class recall in percent, and the mean loss, over all processes.

        Returns:
            {"zero_shot": {"top1": ..., "top5": ..., "mean_recall": ..., "loss": ...}} on rank 0, {} on other ranks. If
            images may have several correct classes, recall and loss are left out. An unreadable image counts as wrong
            in the accuracies; the recall ignores it, because its class is not known.

        Raises:
            InputError: There are images of a class without prompts.
        """
        weights = self._gather_weights()
        accuracy, recall = AccuracyAccumulator(), ClassRecallAccumulator()
        samples: list[dict[str, Any]] = []
        for start in range(0, len(self._features), _IMAGES_AT_ONCE):
            part = slice(start, start + _IMAGES_AT_ONCE)
            logits = LOGIT_SCALE * torch.stack(self._features[part]).to(weights) @ weights.T
            samples += _score(logits, self._files[part], self._correct[part], accuracy, recall)
        has_single_labels = all(len(correct) == 1 for correct in self._correct)
        parts = gather_values((accuracy, recall, has_single_labels))
        self._samples = gather_records(samples)
        if not comm.is_main_process():
            return {}
        accuracies, recalls, single_labels = zip(*parts, strict=True)
        accuracy = sum(accuracies, AccuracyAccumulator())
        metrics = accuracy.metrics()
        if all(single_labels):
            metrics["mean_recall"] = sum(recalls, ClassRecallAccumulator()).mean()
        logger.info(
            "Zero-shot accuracy over %d images and %d classes:\n%s",
            accuracy.images,
            len(weights),
            create_small_table(metrics),
        )
        if accuracy.unreadable:
            logger.warning("Unreadable images, which count as wrong: %d", accuracy.unreadable)
        return {TASK: metrics}

    def explain(self, cfg: DictConfig, loader: Any) -> list[Section]:
        """Explain the last evaluation; see `eva_engine.report.explanation.Explains`."""
        del cfg
        if not self._samples:
            return []
        # Needs what only a page needs.
        from eva_classification.evaluation.explanation import draw_images, explain_samples

        names = loader.texts.texts.class_names
        return explain_samples(self._samples, names, lambda files: draw_images(loader.dataset, files), "images")

    def _gather_weights(self) -> Tensor:
        """Return the zero-shot weights [K, D] from the prompts of all processes, on the device of the text features."""
        total, local_sums = ZeroShotWeightAccumulator(), self._weights.sums
        for sums in gather_values(None if local_sums is None else local_sums.cpu()):
            # With few prompts, some processes have none.
            if sums is not None:
                total.add(sums, range(len(sums)))
        weights = total.weights()
        return weights if local_sums is None else weights.to(local_sums.device)


def _score(
    logits: Tensor,
    files: Sequence[str],
    correct_classes: Sequence[tuple[int, ...]],
    accuracy: AccuracyAccumulator,
    recall: ClassRecallAccumulator,
) -> list[dict[str, Any]]:
    """Add the images with logits [B, K] to the accumulators, and return the records of the readable ones."""
    losses = -logits.log_softmax(dim=1).cpu()
    samples = []
    for file, top, correct, image_losses in zip(files, top_outputs(logits), correct_classes, losses, strict=True):
        if correct == (UNREADABLE,):
            accuracy.add_unreadable()
            continue
        if max(correct) >= logits.shape[1]:
            raise InputError(
                f"an image is of class {max(correct)}, but the prompts name {logits.shape[1]} classes; give a name for "
                "every class, in the order of the numbers."
            )
        accuracy.add(top, correct, image_losses)
        samples.append(score_sample(file, correct, top[0], image_losses))
        if len(correct) == 1:
            recall.add(correct[0], top[0] == correct[0])
    return samples
