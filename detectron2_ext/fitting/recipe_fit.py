"""Fit a recipe to its training data: what depends on the data is measured and set, unless the user sets it."""

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

from eva_engine.config.instantiation import instantiate
from eva_engine.tasks import MIN_SLICE

from ..data.box_statistics import BoxStatistics, anchor_coverage, box_statistics, resize_factors
from ..evaluation.image_inference import evaluate_with
from .anchors import fit_anchors
from .detection_limit import detection_limit, limit_key, needed_limit
from .pixel_statistics import pixel_statistics

logger = logging.getLogger(__name__)

_SMALL_SHARE = 10  # percentile of the sizes of objects that counts as "the small ones"
_SIDE_STEP = 32  # image sides are multiples of it
_MOST_ENLARGED = 2.0
_JITTER = (0.8, 1.2)  # range of the sides of training images, relative to the chosen one
_OVERLAP = 0.2  # of slices
_COCO_LIMIT = 100
_MOST_COUNTED = 1000
_MOST_ANCHORS_SAMPLED, _MOST_REGIONS_SAMPLED = 256, 128  # of an image, in training
_ANCHORS = "model.proposal_generator.anchor_generator"
_TRAIN_AUGMENTATIONS = "dataloader.train.mapper.augmentations"
_TEST_AUGMENTATIONS = "dataloader.test.mapper.augmentations"


@dataclass(frozen=True)
class RecipeFit:
    """What is measured for a recipe, and within which limits; the group `fit` of a recipe.

    A recipe with initial weights keeps their pixel statistics and the number of their anchors.

    Args:
        pixels_per_image: Largest area of a training image in pixels; the aspect ratio is that of the data. None keeps
            the image size of the recipe.
        image_side: Long side of the images in pixels, instead of the one that follows from the data.
        object_side: Images are enlarged, or shrunk less, until the small objects have this side in pixels.
        least_object_side: If the small objects of whole images would have less than this side, the model is trained on
            crops and predicts slices of the images instead.
        images_seen: Number of training images that the schedule counts, repetitions included, if each has the largest
            area; smaller images are seen more often, up to twice as often. None keeps `train.max_iter`.
        max_epochs: A schedule does not repeat an image more often than this.
    """

    pixels_per_image: int | None = None
    image_side: int | None = None
    object_side: float = 32
    least_object_side: float = 10
    images_seen: int | None = None
    max_epochs: int = 100


def fit_recipe(cfg: DictConfig, records: Sequence[dict], given: Collection[str]) -> None:
    """Measure the training data of `cfg`, set what its group `fit` says, and log it.

    Afterwards `cfg.measured` holds what was found, and `cfg.fit` is None, so that the saved config has these values and
    is not fitted again.

    Args:
        cfg: Recipe of a detector; modified in place.
        records: Its training data as Detectron2 dataset dicts, with at least one object.
        given: Keys that the user has set; they keep their values.
    """
    _Fitting(cfg, records, given).run()


class _Fitting:
    def __init__(self, cfg: DictConfig, records: Sequence[dict], given: Collection[str]) -> None:
        self.cfg, self.records, self.given = cfg, records, given
        self.fit: RecipeFit = instantiate(cfg.fit)
        self.boxes: BoxStatistics = box_statistics(self.records)
        self.has_weights = bool(cfg.train.init_checkpoint)
        self.share_of_pixels = 1.0
        self.measured: dict[str, Any] = {
            "images": len(self.records),
            "objects": len(self.boxes.box_sizes),
            "most_objects_in_an_image": int(self.boxes.objects_per_image.max()),
        }

    def run(self) -> None:
        if not self.has_weights:
            self._set_pixel_statistics()
        if self.fit.pixels_per_image is not None:
            self._set_image_size(self.fit.pixels_per_image)
        self._set_anchors()
        self._set_object_numbers()
        if self.fit.images_seen is not None:
            self._set_schedule(self.fit.images_seen)
        self.cfg.fit = None
        self.cfg.measured = self.measured

    def _is_given(self, key: str) -> bool:
        """Return whether the user has set a key, a key below it or the group that it is in."""
        return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in self.given)

    def _set(self, key: str, value: Any, reason: str) -> None:
        if self._is_given(key):
            logger.info("Fit: %s is kept as given instead of %s (%s)", key, _shown(key, value), reason)
            return
        OmegaConf.update(self.cfg, key, value, merge=False, force_add=True)
        logger.info("Fit: %s=%s (%s)", key, _shown(key, value), reason)

    def _set_pixel_statistics(self) -> None:
        found = pixel_statistics(self.records, self.cfg.model.input_format)
        self.measured |= {"pixel_mean": list(found.mean), "pixel_std": list(found.std)}
        reason = f"measured in {found.num_images} images"
        self._set("model.pixel_mean", list(found.mean), reason)
        self._set("model.pixel_std", list(found.std), reason)

    def _set_image_size(self, max_pixels: int) -> None:
        long_sides, short_sides = self.boxes.image_sizes.max(axis=1), self.boxes.image_sizes.min(axis=1)
        aspect = float(np.median(long_sides / short_sides))
        relative = np.sqrt(self.boxes.box_sizes.prod(axis=1)) / long_sides[self.boxes.image_of_box]
        small = float(np.percentile(relative, _SMALL_SHARE))
        largest = math.sqrt(max_pixels * aspect)
        side = _rounded(min(self.fit.object_side / small, largest, _MOST_ENLARGED * float(np.median(long_sides))))
        self.measured |= {
            "image_size": [int(np.median(self.boxes.image_sizes[:, axis])) for axis in (0, 1)],
            "small_objects": round(small * float(np.median(long_sides)), 1),
        }
        if self.fit.image_side is not None:
            side = self.fit.image_side
        elif small * side < self.fit.least_object_side:
            self._use_crops(_rounded(math.sqrt(max_pixels)), small * float(np.median(long_sides)))
            return
        self.share_of_pixels = side * side / aspect / max_pixels
        self._set_augmentations([], side, f"a tenth of the objects have sides below {small * side:.0f} pixels then")

    def _use_crops(self, side: int, small: float) -> None:
        """Train on crops, and predict slices, in which the small objects have twice their least side."""
        crop = max(round(side * small / (2 * self.fit.least_object_side)), side // 2)
        crop = min(crop, int(np.median(self.boxes.image_sizes.min(axis=1))))
        slice_size = max(crop, MIN_SLICE)
        width, height = self.measured["image_size"]
        reason = f"a tenth of the objects have sides below {small:.0f} pixels in images of {width}x{height}"
        self._set_augmentations([L(T.RandomCrop)(crop_type="absolute", crop_size=[crop, crop])], side, reason)
        if not self._is_given(_TEST_AUGMENTATIONS):
            evaluate_with(self.cfg, slice_size=slice_size, overlap=_OVERLAP)
            logger.info("Fit: images are predicted in slices of %d pixels, which are resized to %d", slice_size, side)

    def _set_augmentations(self, first: list[DictConfig], side: int, reason: str) -> None:
        """Resize images to the long side `side`, in training to a random one around it."""
        kept = [node for node in self.cfg.dataloader.train.mapper.augmentations if not _resizes(node)]
        jitter = L(T.ResizeScale)(min_scale=_JITTER[0], max_scale=_JITTER[1], target_height=side, target_width=side)
        test = [L(T.ResizeShortestEdge)(short_edge_length=side, max_size=side)]
        self.measured["image_side"] = side
        reason = f"the long side is {side} pixels; {reason}"
        self._set(_TRAIN_AUGMENTATIONS, [*first, *kept, jitter], reason)
        self._set(_TEST_AUGMENTATIONS, test, reason)

    def _set_anchors(self) -> None:
        node = self.cfg.model.proposal_generator.anchor_generator
        boxes = self.boxes.scaled_boxes(resize_factors(self.cfg, self.boxes.image_sizes))
        per_level = len(node.sizes[0]) if self.has_weights else None
        sizes, ratios = fit_anchors(boxes, len(node.strides), len(node.aspect_ratios), per_level)
        low, high = np.percentile(np.sqrt(boxes.prod(axis=1)), (5, 95))
        reason = f"nine of ten objects have a side of {low:.0f} to {high:.0f} pixels in the model's images"
        self._set(f"{_ANCHORS}.sizes", sizes, reason)
        self._set(f"{_ANCHORS}.aspect_ratios", ratios, reason)
        anchors_per_place = len(node.sizes[0]) * len(node.aspect_ratios)
        self.cfg.model.proposal_generator.head.num_anchors = anchors_per_place
        self.measured["anchor_coverage"] = round(anchor_coverage(self.cfg, self.boxes), 3)
        logger.info("Fit: anchors cover %.1f %% of the objects", 100 * self.measured["anchor_coverage"])

    def _set_object_numbers(self) -> None:
        most = self.measured["most_objects_in_an_image"]
        many = int(np.percentile(self.boxes.objects_per_image, 90))
        if needed_limit(most) > detection_limit(self.cfg):
            self._set(limit_key(self.cfg), needed_limit(most), f"an image has up to {most} objects")
        limit = detection_limit(self.cfg)
        evaluator = self.cfg.dataloader.get("evaluator")
        if most > _COCO_LIMIT and evaluator is not None and limit > _COCO_LIMIT:
            reason = f"COCO's AP counts {_COCO_LIMIT} detections of a class, but an image has up to {most} objects"
            self._set("dataloader.evaluator.max_dets_per_image", int(min(limit, _MOST_COUNTED)), reason)
        rpn = "model.proposal_generator"
        if self.cfg.model.proposal_generator.post_nms_topk[1] < 2 * limit < math.inf:
            reason = f"twice the {limit} detections of an image"
            self._set(f"{rpn}.post_nms_topk", [2 * limit, 2 * limit], reason)
            self._set(f"{rpn}.pre_nms_topk", [4 * limit, 4 * limit], reason)
        for key, largest in (
            (f"{rpn}.batch_size_per_image", _MOST_ANCHORS_SAMPLED),
            ("model.roi_heads.batch_size_per_image", _MOST_REGIONS_SAMPLED),
        ):
            sampled = min(2 * many, largest)
            if OmegaConf.select(self.cfg, key) < sampled:
                self._set(key, sampled, f"a tenth of the images have {many} objects or more")

    def _set_schedule(self, images_seen: int) -> None:
        """Set the number of iterations, and keep four checkpoints during them, from which a run can be resumed."""
        batch = self.cfg.dataloader.train.total_batch_size
        images = min(images_seen / max(self.share_of_pixels, 0.5), self.fit.max_epochs * len(self.records))
        iterations = max(round(images / batch), 1)
        self._set(
            "train.max_iter", iterations, f"{iterations * batch:,} images seen, {len(self.records):,} in the data"
        )
        period = max(self.cfg.train.max_iter // 4, 1)
        self._set("train.checkpointer.period", period, "a quarter of the run")


def _shown(key: str, value: Any) -> Any:
    """Return a value as it is logged; augmentations take many lines, and the reason has their size."""
    return "[...]" if key.endswith("augmentations") else value


def _rounded(side: float) -> int:
    return max(_SIDE_STEP, round(side / _SIDE_STEP) * _SIDE_STEP)


def _resizes(node: DictConfig) -> bool:
    target = node["_target_"]
    if isinstance(target, str):
        target = locate(target)
    return target in (T.ResizeShortestEdge, T.ResizeScale, T.FixedSizeCrop, T.Resize, T.RandomCrop)
