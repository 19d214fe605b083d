"""The side of training images in a recipe, and the overrides that change it."""

from collections.abc import Iterator

from detectron2.data import transforms as T
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError


def training_side(cfg: DictConfig) -> int:
    """Side in pixels of the square that training images fill: the backbone's padding, else the crop.

    Raises:
        InputError: the recipe has neither.
    """
    side = OmegaConf.select(cfg, "model.backbone.square_pad") or 0
    for _, target, augmentation in _augmentations(cfg, "train"):
        if not side and target is T.FixedSizeCrop:
            side = max(augmentation.crop_size)
    if not side:
        raise InputError(
            "the recipe sets neither model.backbone.square_pad nor a crop; add model.backbone.square_pad=1024"
        )
    return int(side)


def resolution_overrides(cfg: DictConfig, side: int) -> list[str]:
    """Overrides by which the recipe trains and evaluates at `side` x `side` pixels. Tables of positions are resized."""
    overrides = []
    if OmegaConf.select(cfg, "model.backbone.square_pad"):
        overrides.append(f"model.backbone.square_pad={side}")
    for part in ("train", "test"):
        for key, target, _ in _augmentations(cfg, part):
            if target is T.ResizeScale:
                overrides += [f"{key}.target_height={side}", f"{key}.target_width={side}"]
            elif target is T.FixedSizeCrop:
                overrides.append(f"{key}.crop_size=[{side},{side}]")
            elif target is T.ResizeShortestEdge:
                overrides += [f"{key}.short_edge_length={side}", f"{key}.max_size={side}"]
    return overrides


def _augmentations(cfg: DictConfig, part: str) -> Iterator[tuple[str, type, DictConfig]]:
    key = f"dataloader.{part}.mapper.augmentations"
    for number, augmentation in enumerate(OmegaConf.select(cfg, key) or ()):
        target = augmentation["_target_"]
        yield f"{key}.{number}", locate(target) if isinstance(target, str) else target, augmentation
