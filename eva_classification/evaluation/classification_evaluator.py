"""Top-1 and top-5 accuracy of a classifier."""

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from omegaconf import DictConfig
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.finite_outputs import finite_outputs
from eva_engine.report.sections import Section
from eva_engine.training.distributed.gathering import gather_records, gather_values

from ..data.class_maps import NUM_CLASSES, imagenet_classes
from ..data.mapper import UNREADABLE
from .accuracy import AccuracyAccumulator, top_outputs
from .label_mapping import LabelMapping
from .scored_sample import score_sample

logger = logging.getLogger(__name__)

# Keys of the results: the accuracy itself, and the accuracy by the protocol of the published numbers.
EXACT, PUBLISHED = "accuracy", "accuracy_published"


class ClassificationEvaluator(DatasetEvaluator):
    """Compute accuracy and loss over all processes, exactly and by the protocol of the published numbers.

    "accuracy" counts every image once. "accuracy_published" also counts images that were repeated to make the dataset
    divisible among GPUs (`repeat_to_multiple_of` of `EvalLoader`), may use another label mapping, and its loss is the
    mean over batches, also if the last batch is smaller.

    Args:
        label_mapping: Which classes are correct for an image; by default the label of the dataset.
        published_label_mapping: Label mapping of the published numbers; by default the same.
        subset: "imagenet_a" or "imagenet_r": restrict predictions to the 200 classes of that dataset. Labels are
            indices into all 1000 classes; the model may have 1000 or 200 outputs.
    """

    metric_names = tuple(f"{key}/{metric}" for key in (EXACT, PUBLISHED) for metric in ("top1", "top5", "loss"))

    def __init__(
        self,
        label_mapping: LabelMapping | None = None,
        published_label_mapping: LabelMapping | None = None,
        subset: str | None = None,
    ) -> None:
        if label_mapping is None:
            label_mapping = LabelMapping()
        if published_label_mapping is None:
            published_label_mapping = label_mapping
        self._label_mappings = {EXACT: label_mapping, PUBLISHED: published_label_mapping}
        self._subset = None if subset is None else list(imagenet_classes(subset).values())
        self.reset()

    def reset(self) -> None:
        """Discard all results."""
        self._accumulators = {EXACT: AccuracyAccumulator(), PUBLISHED: AccuracyAccumulator()}
        self._samples: list[dict[str, Any]] = []  # see `score_sample`; after an evaluation, those of all processes
        self._num_classes = 0

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Score the logits [B, K] of a batch of `EvalLoader`.

        Raises:
            InputError: Logits are not finite, or the model does not have the classes of the images.
        """
        logits, classes = self._restrict_to_subset(finite_outputs(outputs, "logits"))
        self._num_classes = max(self._num_classes, max(classes) + 1)
        output_of_class = {class_index: output for output, class_index in enumerate(classes)}
        top = top_outputs(logits)
        losses = -logits.log_softmax(dim=1).cpu()
        repeated = inputs["repeated"].tolist() if "repeated" in inputs else [False] * len(logits)
        images = list(zip(inputs["label"].tolist(), inputs["file_name"], repeated, strict=True))
        for key, label_mapping in self._label_mappings.items():
            batch = AccuracyAccumulator()
            for row, (label, file_name, is_repeated) in enumerate(images):
                correct = label_mapping.correct_classes(label, file_name)
                if not correct or (key == EXACT and is_repeated):
                    continue
                if label == UNREADABLE:
                    batch.add_unreadable()
                else:
                    outputs_of_image = _outputs_of(correct, output_of_class, file_name)
                    batch.add(top[row], outputs_of_image, losses[row])
                    if key == EXACT:
                        sample = score_sample(file_name, outputs_of_image, top[row][0], losses[row], classes)
                        self._samples.append(sample)
            batch.end_batch()
            self._accumulators[key] += batch

    def _restrict_to_subset(self, logits: Tensor) -> tuple[Tensor, list[int]]:
        """Return the logits of the classes that can be predicted, and the indices of these classes."""
        num_outputs = logits.shape[1]
        if self._subset is None:
            return logits, list(range(num_outputs))
        if num_outputs == NUM_CLASSES:
            return logits[:, self._subset], self._subset
        if num_outputs == len(self._subset):
            return logits, self._subset
        raise InputError(
            f"the model has {num_outputs} outputs, expected the {NUM_CLASSES} classes of ImageNet-1K or the "
            f"{len(self._subset)} of this dataset; evaluate a classifier of ImageNet-1K."
        )

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Return accuracies in percent and the mean loss on rank 0, {} on other ranks.

        Returns:
            {"accuracy": {"top1": ..., "top5": ..., "loss": ...}, "accuracy_published": ...}. There is no loss if images
            have several correct classes.
        """
        accumulators_of_ranks = gather_values(self._accumulators)
        self._samples = gather_records(self._samples)
        if not comm.is_main_process():
            return {}
        results = {}
        for key in (EXACT, PUBLISHED):
            total = sum((accumulators[key] for accumulators in accumulators_of_ranks), AccuracyAccumulator())
            results[key] = total.metrics(mean_of_batches=key == PUBLISHED)
            logger.info("%s over %d images:\n%s", key, total.images, create_small_table(results[key]))
            if total.unreadable and key == EXACT:
                logger.warning("Images that could not be read and count as wrong: %d", total.unreadable)
        return results

    def explain(self, cfg: DictConfig, loader: Any) -> list[Section]:
        """Explain the last evaluation; see `eva_engine.report.explanation.Explains`."""
        if not self._samples:
            return []
        from .explanation import class_names, draw_images, explain_samples  # needs what only a page needs

        names = class_names(cfg, self._num_classes, loader.dataset)
        return explain_samples(self._samples, names, lambda files: draw_images(loader.dataset, files), "images")


def _outputs_of(classes: tuple[int, ...], output_of_class: Mapping[int, int], file_name: str) -> list[int]:
    """Return the outputs of the model that stand for `classes`."""
    unknown = [class_index for class_index in classes if class_index not in output_of_class]
    if unknown:
        raise InputError(
            f"{file_name} belongs to class {unknown[0]}, which is not one of the {len(output_of_class)} classes that "
            "are scored; set the model's num_classes to that of the data, or give the dataset its class_map."
        )
    return [output_of_class[class_index] for class_index in classes]
