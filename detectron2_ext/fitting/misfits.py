"""What in a recipe does not fit the data that it is trained on, with the overrides that help."""

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig, OmegaConf

from ..data.box_statistics import anchor_coverage, box_statistics, resize_factors
from .anchors import fit_anchors
from .detection_limit import detection_limit, limit_key, needed_limit
from .pixel_statistics import pixel_statistics

_FEW_COVERED = 0.5
_FAR = 1.0  # distance of a measured mean, in standard deviations of the recipe
_OTHER_SPREAD = 2.0  # factor between two standard deviations


def misfits(cfg: DictConfig, records: Sequence[dict]) -> list[str]:
    """Return a sentence, with counts and an override, for each setting that does not fit the data.

    These are the largest number of detections, anchors that leave out half of the boxes, and, for a model that starts
    from random weights, pixel statistics. Weights need the statistics that they were trained with.

    Args:
        cfg: Recipe of a detector.
        records: Its training data as Detectron2 dataset dicts, with at least one object.
    """
    boxes = box_statistics(records)
    found = []
    limit, counts = detection_limit(cfg), boxes.objects_per_image
    if counts.max() > limit:
        found.append(
            f"{(counts > limit).sum()} of {len(counts)} images have more than the {limit} objects that the recipe "
            f"detects, up to {counts.max()}; give {limit_key(cfg)}={needed_limit(int(counts.max()))}"
        )
    has_anchors = OmegaConf.select(cfg, "model.proposal_generator.anchor_generator.sizes", default=None) is not None
    coverage = anchor_coverage(cfg, boxes) if has_anchors else 1.0
    if coverage < _FEW_COVERED:
        generator = cfg.model.proposal_generator.anchor_generator
        scaled = boxes.scaled_boxes(resize_factors(cfg, boxes.image_sizes))
        sizes, _ = fit_anchors(scaled, len(generator.strides), len(generator.aspect_ratios), len(generator.sizes[0]))
        low, high = np.percentile(np.sqrt(scaled.prod(axis=1)), (5, 95))
        found.append(
            f"the anchors cover {round(coverage * len(scaled)):,} of {len(scaled):,} objects; most of these have sides "
            f"of {low:.0f} to {high:.0f} pixels in the images of the model; give other sizes of images, or "
            f"'model.proposal_generator.anchor_generator.sizes={str(sizes).replace(' ', '')}'"
        )
    if not cfg.train.init_checkpoint:
        found += _other_statistics(cfg, records)
    return found


def _other_statistics(cfg: DictConfig, records: Sequence[dict]) -> list[str]:
    measured = pixel_statistics(records, cfg.model.input_format)
    mean, std = np.array(cfg.model.pixel_mean, dtype=float), np.array(cfg.model.pixel_std, dtype=float)
    if len(mean) != len(measured.mean):
        return []
    spread = np.maximum(std / measured.std, np.array(measured.std) / std)
    if (np.abs(mean - measured.mean) <= _FAR * std).all() and (spread <= _OTHER_SPREAD).all():
        return []
    new_mean, new_std = (str(list(values)).replace(" ", "") for values in (measured.mean, measured.std))
    return [
        f"{measured.num_images} images have the mean {new_mean} and the standard deviation {new_std}, the recipe has "
        f"{mean.tolist()} and {std.tolist()}, and no weights that need these; give model.pixel_mean={new_mean} "
        f"model.pixel_std={new_std}"
    ]
