"""Evaluate a detector on slices or with test-time augmentation: the code of `predict` in an evaluation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from omegaconf import DictConfig, OmegaConf
from torch import nn

from detectron2_ext.mask_windows import EncodedMasks
from detectron2_ext.prediction import DetectionPredictor
from detectron2_ext.prediction.inference_options import make_augmentation, make_slices
from eva_backbone.errors import InputError
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.categories import Categories


class ImageInference(nn.Module):
    """Predict the images of an evaluation as `predict` does with the options in `dataloader.inference`.

    Args:
        cfg: Recipe that `evaluate_with` has changed; `dataloader.test.mapper` gives the resize and the channel order.
        model: The detector.
    """

    def __init__(self, cfg: DictConfig, model: GeneralizedRCNN) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)  # the predictor sets evaluation mode, and the evaluation restores this one
        mapper, options = cfg.dataloader.test.mapper, cfg.dataloader.inference
        self.image_format = mapper.image_format
        num_classes = model.roi_heads.num_classes
        self.predictor = DetectionPredictor(
            model,
            T.AugmentationList(list(instantiate(mapper.augmentations))),
            Categories(("",) * num_classes, tuple(range(num_classes))),
            device=str(model.device),
            image_format=self.image_format,
            score_threshold=0.0,
            slices=make_slices(options.slice_size, options.overlap, options.full_image),
            augmentation=make_augmentation(options.tta, options.tta_scales),
        )

    def forward(self, records: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """Return {"instances": ...} for each record, with `EncodedMasks` if it has masks."""
        outputs = []
        for record in records:
            image = np.ascontiguousarray(record["image"].permute(1, 2, 0).numpy().astype(np.uint8))
            if self.image_format == "BGR":
                image = image[:, :, ::-1]
            (result,) = self.predictor.predict([self.predictor.prepare(image)])
            instances = result.to_instances()
            if instances.has("pred_masks_rle"):
                instances.pred_masks = EncodedMasks(instances.pred_masks_rle)
                instances.remove("pred_masks_rle")
            outputs.append({"instances": instances})
        return outputs


def evaluate_with(
    cfg: DictConfig,
    *,
    slice_size: int | None = None,
    overlap: float | None = None,
    full_image: bool = False,
    tta: bool = False,
    tta_scales: Sequence[float] | None = None,
) -> None:
    """Change a recipe so that its evaluations use slices or test-time augmentation; see `ImageInference`.

    Args:
        cfg: Recipe of a detector; modified in place. The options become its `dataloader.inference`.
        slice_size: Side of the slices.
        overlap: Overlap of the slices.
        full_image: Whether the image as a whole is predicted, too.
        tta: Whether test-time augmentation is used.
        tta_scales: Sizes of its views.

    Raises:
        InputError: The recipe has no test images, or an option is out of range.
    """
    make_slices(slice_size, overlap, full_image)  # raises an error for wrong options before the model is built
    make_augmentation(tta, tta_scales)
    mapper = OmegaConf.select(cfg, "dataloader.test.mapper", default=None)
    if mapper is None or "augmentations" not in mapper:
        raise InputError(
            "the config has no dataloader.test.mapper.augmentations, so it cannot be evaluated with slices or "
            "test-time augmentation; give a detection config that evaluates."
        )
    mapper.resize = False
    cfg.dataloader.inference = {
        "slice_size": slice_size,
        "overlap": overlap,
        "full_image": full_image,
        "tta": tta,
        "tta_scales": None if tta_scales is None else list(tta_scales),
    }
