"""The largest number of detections that a recipe keeps in an image."""

import math

from omegaconf import DictConfig, OmegaConf

_DETECTRON2_DEFAULT = 100


def limit_key(cfg: DictConfig) -> str:
    """Return the key of the limit. A cascade selects its detections once, by the settings of its last predictor."""
    heads = cfg.model.roi_heads
    if heads.get("use_soft_nms"):
        return "model.roi_heads.soft_nms_topk"
    predictors = heads.get("box_predictors")
    if predictors is None:
        return "model.roi_heads.box_predictor.test_topk_per_image"
    return f"model.roi_heads.box_predictors.{len(predictors) - 1}.test_topk_per_image"


def detection_limit(cfg: DictConfig) -> float:
    """Return the limit of a recipe; infinite for soft-NMS without one."""
    key = limit_key(cfg)
    limit = OmegaConf.select(cfg, key, default=None)
    if limit is None:
        return math.inf if key.endswith("soft_nms_topk") else _DETECTRON2_DEFAULT
    return limit


def needed_limit(most_objects: int) -> int:
    """Return a limit for images with `most_objects`: some detections are wrong before all objects are found."""
    return math.ceil(1.5 * most_objects / 50) * 50
