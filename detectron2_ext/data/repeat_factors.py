"""Factors by which images of rare classes are sampled more often, without reading every record."""

from collections.abc import Sequence

import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from .record_table import SelectedRecords


def repeat_factors(dataset_dicts: Sequence[dict], repeat_thresh: float) -> torch.Tensor:
    """Return the factors of Detectron2's `repeat_factors_from_category_frequency`; a LazyConfig target.

    Args:
        dataset_dicts: Result of `get_dataset_dicts`.
        repeat_thresh: Images of classes that occur in a smaller fraction of all images are repeated.

    Returns:
        The factor of each image, at least 1, [M] float32.
    """
    if isinstance(dataset_dicts, SelectedRecords):
        dataset_dicts = [
            {"annotations": [{"category_id": category} for category in set(classes.tolist())]}
            for classes in dataset_dicts.classes_of_images()
        ]
    return RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(dataset_dicts, repeat_thresh)
