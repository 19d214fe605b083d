"""Synthetic training batches of detectors, with as many objects as the sampled proposals of an image can match."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError
from eva_engine.memory.fake_step import StepSettings
from eva_engine.memory.synthetic_batch import SyntheticBatch
from eva_engine.memory.tracker import Phase

from ..memory.detector_step import (
    detector_phases,
    detector_with_real_heads,
    measure_backbone,
    measure_head_inference,
    measure_heads,
)


class DetectionSyntheticBatch(SyntheticBatch):
    """Detectron2 records with black images.

    The default number of objects is the number of foreground proposals that the published recipes sample.
    """

    num_objects = 128

    @property
    def side(self) -> int:
        """Side of the square that training images fill: the padding of the backbone, else the last crop or resize."""
        side = OmegaConf.select(self.cfg, "model.backbone.square_pad") or 0
        if not side:
            for _, target, augmentation in self._augmentations("train"):
                if target is T.FixedSizeCrop:
                    side = max(augmentation.crop_size)
                elif target is T.ResizeScale:
                    side = max(augmentation.target_height, augmentation.target_width) * augmentation.max_scale
                elif target is T.ResizeShortestEdge:
                    side = augmentation.max_size
            side = math.ceil(side / self.side_multiple) * self.side_multiple
        if not side:
            raise InputError(
                "the recipe sets neither model.backbone.square_pad nor a size of images; "
                "add model.backbone.square_pad=1024"
            )
        return int(side)

    @property
    def backbone_patterns(self) -> list[str]:
        """Patterns of the names of the parameters that belong to the backbone."""
        return ["backbone.net.*"]

    def make(self, num_samples: int) -> list[dict[str, Any]]:
        """Make records whose boxes have different sizes; classes are used in turn."""
        side, masks = self.side, self._mask_format()
        select = OmegaConf.select
        classes = select(self.cfg, "model.roi_heads.num_classes") or select(self.cfg, "model.num_classes") or 80
        return [
            {
                "image": torch.zeros(3, side, side, dtype=torch.uint8),
                "height": side,
                "width": side,
                "instances": _instances(side, self.num_objects, classes, masks),
            }
            for _ in range(num_samples)
        ]

    def resolution_overrides(self, side: int) -> list[str]:
        """Return overrides for training and evaluation; position tables are resized when weights are loaded."""
        overrides = []
        if OmegaConf.select(self.cfg, "model.backbone.square_pad"):
            overrides.append(f"model.backbone.square_pad={side}")
        for part in ("train", "test"):
            for key, target, _ in self._augmentations(part):
                if target is T.ResizeScale:
                    overrides += [f"{key}.target_height={side}", f"{key}.target_width={side}"]
                elif target is T.FixedSizeCrop:
                    overrides.append(f"{key}.crop_size=[{side},{side}]")
                elif target is T.ResizeShortestEdge:
                    overrides += [f"{key}.short_edge_length={side}", f"{key}.max_size={side}"]
        return overrides

    def measure_step(
        self, num_samples: int, settings: StepSettings, report: Callable[[str], None], cache: dict[str, Any]
    ) -> list[Phase]:
        """Measure the backbone on tensors without storage, and the heads on the CPU for one image."""
        model = detector_with_real_heads(self.cfg)
        backbone, maps = measure_backbone(model, settings, num_samples, self.side)
        components = [str(self.cfg.model[part]) for part in self.cfg.model if part != "backbone"]
        trained = [p.requires_grad for name, p in model.named_parameters() if not name.startswith("backbone.")]
        shapes = [(name, x.shape[1:], x.dtype, x.requires_grad) for name, x in maps.items()]
        key = str([components, trained, shapes, self.side])
        if key not in cache:
            report(f"{self.side} px: running proposal network and heads on the CPU for one image")
            cache[key] = measure_heads(model, self.make(1), maps, settings.autocast_dtype)
        return detector_phases(backbone, cache[key].times(num_samples))

    def measure_inference(self, device_type: str, report: Callable[[str], None]) -> int:
        """Measure the backbone on tensors without storage, and the heads on the CPU with the most detections."""
        model = detector_with_real_heads(self.cfg).eval()
        settings = StepSettings(device_type, None, low_precision_blocks=False, num_ranks=1)
        with torch.no_grad():
            backbone, maps = measure_backbone(model, settings, 1, self.side)
            report(f"{self.side} px: detecting on the CPU in one image")
            return max(backbone.forward, backbone.kept + measure_head_inference(model, self.make(1), maps))

    def _augmentations(self, part: str) -> Iterator[tuple[str, type, DictConfig]]:
        key = f"dataloader.{part}.mapper.augmentations"
        for number, augmentation in enumerate(OmegaConf.select(self.cfg, key) or ()):
            target = augmentation["_target_"]
            yield f"{key}.{number}", locate(target) if isinstance(target, str) else target, augmentation

    def _mask_format(self) -> str | None:
        """ "polygon", "bitmask", or None for boxes only."""
        if OmegaConf.select(self.cfg, "model.roi_heads.mask_head") is None:
            return None
        mapper = OmegaConf.select(self.cfg, "dataloader.train.mapper") or {}
        return mapper.get("instance_mask_format", "polygon")


def _instances(side: int, num_objects: int, num_classes: int, masks: str | None) -> Instances:
    instances = Instances((side, side))
    generator = torch.Generator().manual_seed(0)
    sizes = side * (0.05 + 0.25 * torch.rand(num_objects, 2, generator=generator))
    corners = torch.rand(num_objects, 2, generator=generator) * (side - sizes)
    boxes = torch.cat([corners, corners + sizes], dim=1)
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.arange(num_objects) % num_classes
    if masks == "polygon":
        instances.gt_masks = PolygonMasks([[box[[0, 1, 2, 1, 2, 3, 0, 3]].double().numpy()] for box in boxes])
    elif masks == "bitmask":
        columns = torch.arange(side)
        inside_x = (columns >= boxes[:, 0, None]) & (columns < boxes[:, 2, None])
        inside_y = (columns >= boxes[:, 1, None]) & (columns < boxes[:, 3, None])
        instances.gt_masks = BitMasks(inside_y[:, :, None] & inside_x[:, None, :])
    return instances
