"""Pixel accuracy and intersection over union, computed by Detectron2's evaluator."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from detectron2.evaluation import SemSegEvaluator
from omegaconf import DictConfig
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.report.sections import Section
from eva_engine.training.distributed.gathering import gather_records

from ..data.label_file import read_labels
from ..data.segmentation_dataset import SegmentationDataset
from .worst_images import WorstImages


class SegmentationEvaluator(SemSegEvaluator):
    """Detectron2's `SemSegEvaluator`, with the metrics "aAcc" and "mAcc" under the names of the published tables.

    "aAcc" is the fraction of labelled pixels whose class is correct; "mAcc" (accuracy) and "mIoU" are means over the
    classes that have labelled pixels. All are in percent and computed from the summed counts of all processes.

    Args:
        dataset: The test images with their labels.
        output_dir: Folder for the predictions; None to write none.
    """

    metric_names = ("sem_seg/mIoU", "sem_seg/aAcc", "sem_seg/mAcc")

    def __init__(self, dataset: SegmentationDataset, output_dir: str | None = None) -> None:
        super().__init__(dataset.name, output_dir=output_dir)
        # Detectron2 finds boundaries by erosion of the class indices, not of each class: this IoU has no clear meaning.
        self._compute_boundary_iou = False

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Tensor]]) -> None:
        """Count the pixels of images whose probabilities [K, H, W] are in "sem_seg" of `outputs`.

        Raises:
            InputError: Labels cannot be read, have unknown values or another size than their image, or the model's
                number of classes is not that of the data.
        """
        for image, output in zip(inputs, outputs, strict=True):
            if len(output["sem_seg"]) != self._num_classes:
                raise InputError(
                    f"the model has {len(output['sem_seg'])} classes, the data {self._num_classes}; "
                    f"give model.decode_head.num_classes={self._num_classes} and weights of such a model."
                )
            height, width = output["sem_seg"].shape[1:]
            self.sem_seg_loading_fn = partial(_load, self._num_classes, (height, width), image.get("label_values"))
            before = self._conf_matrix.copy()
            super().process([image], [output])
            counts = (self._conf_matrix - before)[:, :-1].T  # true class, predicted class; the last one is unlabelled
            self._worst.add(counts[:, :-1], image, output["sem_seg"])

    def reset(self) -> None:
        """Discard the counts of all images."""
        super().reset()
        self._worst = WorstImages()

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list[dict]:
        """Return the run lengths of each class in COCO's format, or an empty list if no predictions are written."""
        if not self._output_dir:
            return []
        return super().encode_json_sem_seg(sem_seg, input_file_name)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Return {"sem_seg": {"mIoU", "aAcc", "mAcc", "fwIoU", "IoU-<class>", ...}} on rank 0, {} on other ranks."""
        results = super().evaluate()
        self._worst.images = gather_records(self._worst.images)
        if results is None:
            return {}
        found = {name: float(value) for name, value in results["sem_seg"].items()}
        leading = {"mIoU": found["mIoU"], "aAcc": found["pACC"], "mAcc": found["mACC"]}
        return {"sem_seg": leading | found}

    def explain(self, cfg: DictConfig, loader: Any) -> list[Section]:
        """Explain the last evaluation; see `eva_engine.report.explanation.Explains`."""
        del cfg, loader
        from .explanation import explain_segmentation  # needs what only a page needs

        counts = self._conf_matrix[:-1, :-1].T
        if not counts.any():
            return []
        return explain_segmentation(counts, self._class_names, self._worst.images, self.input_file_to_gt_file)


def _load(
    num_classes: int,
    size: tuple[int, int] | None,
    label_values: Mapping[int, int] | None,
    file_name: str,
    dtype: type = int,
) -> np.ndarray:
    return read_labels(file_name, num_classes, size, label_values).astype(dtype)
