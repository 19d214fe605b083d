"""Evaluate a detector on slices or with test-time augmentation: the code of `predict` in an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from omegaconf import DictConfig, OmegaConf
from torch import nn

from detectron2_ext.prediction import DetectionPredictor
from detectron2_ext.prediction.inference_options import make_augmentation, make_slices
from eva_backbone.errors import InputError
from eva_engine.prediction.categories import Categories


@dataclass(frozen=True)
class ImageInference:
    """Make a model predict the images of an evaluation as `predict` does with the same options.

    It is the `dataloader.inference` of a recipe, whose `dataloader.test.mapper` must have `resize=False`.

    Args:
        resize: The recipe's test-time resize.
        image_format: Channel order that the model expects, and of the evaluated images.
        slice_size: Side in pixels of the slices of large images; None predicts every image as a whole.
        overlap: Fraction of its side that a slice shares with the next one, by default 0.2.
        full_image: Add the objects of the image as a whole to those of its slices.
        tta: Use test-time augmentation.
        tta_scales: Sizes of its views, see `TestTimeAugmentation`.
        batch_size: Slices per forward pass.
    """

    resize: Sequence[T.Augmentation]
    image_format: str = "RGB"
    slice_size: int | None = None
    overlap: float | None = None
    full_image: bool = False
    tta: bool = False
    tta_scales: Sequence[float] | None = None
    batch_size: int = 1

    def __call__(self, model: GeneralizedRCNN) -> nn.Module:
        """Return a module that takes the records of an evaluation and returns what the evaluators expect.

        Raises:
            InputError: An option is out of range.
        """
        return _PredictingModel(self, model)


class _PredictingModel(nn.Module):
    def __init__(self, options: ImageInference, model: GeneralizedRCNN) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)  # the predictor sets evaluation mode, and the evaluation restores this one
        num_classes = model.roi_heads.num_classes
        self.image_format = options.image_format
        self.predictor = DetectionPredictor(
            model,
            T.AugmentationList(list(options.resize)),
            Categories(("",) * num_classes, tuple(range(num_classes))),
            device=str(model.device),
            image_format=options.image_format,
            score_threshold=0.0,
            slices=make_slices(options.slice_size, options.overlap, options.full_image),
            augmentation=make_augmentation(options.tta, options.tta_scales),
        )
        self.predictor.batch_size = options.batch_size

    def forward(self, records: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """Return {"instances": ...} for each record, with the masks in `pred_masks_rle`."""
        outputs = []
        for record in records:
            image = np.ascontiguousarray(record["image"].permute(1, 2, 0).numpy().astype(np.uint8))
            if self.image_format == "BGR":
                image = image[:, :, ::-1]
            (result,) = self.predictor.predict([self.predictor.prepare(image)])
            outputs.append({"instances": result.to_instances()})
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
        cfg: Recipe of a detector; modified in place.
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
    cfg.dataloader.inference = L(ImageInference)(
        resize="${..test.mapper.augmentations}",
        image_format="${..test.mapper.image_format}",
        slice_size=slice_size,
        overlap=overlap,
        full_image=full_image,
        tta=tta,
        tta_scales=None if tta_scales is None else list(tta_scales),
    )
