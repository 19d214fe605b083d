"""Top-1 and top-5 accuracy."""

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.finite_outputs import finite_outputs
from eva_engine.training.distributed.gathering import gather_values

from ..data.class_maps import NUM_CLASSES, imagenet_classes
from ..data.mapper import UNREADABLE
from .accuracy import AccuracyAccumulator, top_outputs
from .label_rules import AnswerKey

logger = logging.getLogger(__name__)

RIGHT, PUBLISHED = "accuracy", "accuracy_published"


class ClassificationEvaluator(DatasetEvaluator):
    """Scores logits over all processes: as is right, "accuracy", and beside that as the published numbers were scored.

    What is right counts every image once. "accuracy_published" also counts images that were repeated to make the set
    divide among GPUs (`EvalLoader`'s `repeat_to_multiple_of`), may have another answer key, and its loss is the mean
    over batches, also where the last one is smaller.

    Args:
        answers: which predictions are right; by default the image's class.
        published_answers: the key of the published numbers; None: the same.
        subset: "imagenet_a" or "imagenet_r": only their 200 classes can be predicted. Images are numbered by all 1000
            classes; the model may have either number of outputs.
    """

    metric_names = tuple(f"{task}/{metric}" for task in (RIGHT, PUBLISHED) for metric in ("top1", "top5", "loss"))

    def __init__(
        self,
        answers: AnswerKey | None = None,
        published_answers: AnswerKey | None = None,
        subset: str | None = None,
    ) -> None:
        answers = answers or AnswerKey()
        self._answers = {RIGHT: answers, PUBLISHED: published_answers or answers}
        self._subset = None if subset is None else list(imagenet_classes(subset).values())
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._tallies = {RIGHT: AccuracyAccumulator(), PUBLISHED: AccuracyAccumulator()}

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Score logits [B, K] of a batch of `EvalLoader`.

        Raises:
            InputError: logits that are no finite numbers, or images of classes that the model does not have.
        """
        logits, classes = self._select(finite_outputs(outputs, "logits"))
        output_of_class = {number: output for output, number in enumerate(classes)}
        best = top_outputs(logits)
        losses = -logits.log_softmax(dim=1).cpu()
        repeated = inputs["repeated"].tolist() if "repeated" in inputs else [False] * len(logits)
        images = list(zip(inputs["label"].tolist(), inputs["file_name"], repeated, strict=True))
        for task, answers in self._answers.items():
            tally = AccuracyAccumulator()
            for row, (label, name, is_repeated) in enumerate(images):
                accepted = answers.accepted(label, name)
                if not accepted or (task == RIGHT and is_repeated):
                    continue
                if label == UNREADABLE:
                    tally.add_unreadable()
                else:
                    tally.add(best[row], _find(accepted, output_of_class, name), losses[row])
            tally.end_batch()
            self._tallies[task] += tally

    def _select(self, logits: Tensor) -> tuple[Tensor, list[int]]:
        """The logits that count, and the classes they stand for."""
        num_outputs = logits.shape[1]
        if self._subset is None:
            return logits, list(range(num_outputs))
        if num_outputs not in (NUM_CLASSES, len(self._subset)):
            raise InputError(
                f"the model has {num_outputs} outputs, expected are ImageNet's {NUM_CLASSES} classes or the "
                f"{len(self._subset)} of this set; evaluate a classifier of ImageNet-1K."
            )
        return (logits[:, self._subset] if num_outputs == NUM_CLASSES else logits), self._subset

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Accuracies in percent and the mean loss; {} on every process but the first.

        Returns:
            {"accuracy": {"top1": ..., "top5": ..., "loss": ...}, "accuracy_published": ...}. Where images have several
            right classes there is no loss.
        """
        parts = gather_values(self._tallies)
        if not comm.is_main_process():
            return {}
        results = {}
        for task in (RIGHT, PUBLISHED):
            tally = sum((tallies[task] for tallies in parts), AccuracyAccumulator())
            results[task] = tally.metrics(mean_of_batches=task == PUBLISHED)
            logger.info("%s over %d images:\n%s", task, tally.images, create_small_table(results[task]))
            if tally.unreadable and task == RIGHT:
                logger.warning("Images that could not be read, and count as wrong: %d", tally.unreadable)
        return results


def _find(accepted: tuple[int, ...], output_of_class: Mapping[int, int], name: str) -> list[int]:
    unknown = [number for number in accepted if number not in output_of_class]
    if unknown:
        raise InputError(
            f"{name} is of class {unknown[0]}, which is none of the {len(output_of_class)} classes scored; set the "
            "model's num_classes to that of the data, or give the data its class map."
        )
    return [output_of_class[number] for number in accepted]
