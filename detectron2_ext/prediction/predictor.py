"""A detector ready for inference: images in, detections in the pixels of those images out."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..export.exported_detector import ExportedDetector, ExportedLimits
from ..mask_windows import encode_masks, rescale_to_image
from ..modeling.test_time_augmentation import TestTimeAugmentation
from .detector_categories import find_categories, match_categories
from .inference_options import make_augmentation, make_slices, slices_of_recipe
from .limits import DetectionLimits
from .result import DetectionResult
from .sliced_detection import Found, detect_in_slices
from .slices import Slices
from .tracking import ObjectTracker


class DetectionPredictor(ImagePredictor[DetectionResult]):
    """Run a detector on images.

    Use `from_config` to build the model from a recipe and a weight file.

    Args:
        model: A detector with its weights, or an exported one; it is moved to `device` and put in evaluation mode.
        resize: Test-time resize, applied to every image.
        categories: Name and dataset id of each class index.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or a torch device name.
        image_format: Channel order that the model expects, "RGB" or "BGR".
        score_threshold: Detections with a lower final score are dropped before their masks are computed.
        max_detections: Largest number of detections of an image; by default that of the model.
        slices: Cuts large images into slices, which are predicted in batches of `batch_size` and merged; None predicts
            every image as a whole.
        augmentation: Makes several views of every image or slice; None takes the image as it is.

    Attributes:
        model: The detector, in evaluation mode on `device`.
        categories: Name and dataset id of each class index.
        reached_limits: Number of images that have reached each limit on detections, by limit with its option.

    Raises:
        InputError: The device is unknown or not available, or the number of categories is not that of the model.
    """

    call_options = ("score_threshold", "max_detections")
    model: GeneralizedRCNN | ExportedDetector

    def __init__(
        self,
        model: GeneralizedRCNN | ExportedDetector,
        resize: T.Augmentation,
        categories: Categories,
        device: str = "auto",
        *,
        image_format: str = "RGB",
        score_threshold: float = 0.5,
        max_detections: int | None = None,
        slices: Slices | None = None,
        augmentation: TestTimeAugmentation | None = None,
    ) -> None:
        self.categories = match_categories(categories, model.roi_heads.num_classes, "the list given")
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.resize = resize
        self.image_format = image_format
        self.score_threshold = score_threshold
        self.max_detections = max_detections
        self.slices = slices
        self.augmentation = augmentation
        self.reached_limits: Counter[str] = Counter()
        self._limits: DetectionLimits | ExportedLimits
        if not isinstance(model, ExportedDetector):
            self._limits = DetectionLimits(model)
        elif augmentation is None:
            self._limits = ExportedLimits(model)
        else:
            raise InputError(
                "an exported detector predicts one view of an image; leave --tta and --tta-scales out, or give the "
                "weights that it was exported from."
            )

    @property
    def class_names(self) -> Sequence[str]:  # type: ignore[override]
        """Name of each class."""
        return self.categories.names

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        score_threshold: float = 0.5,
        max_detections: int | None = None,
        class_names: Categories | None = None,
        slice_size: int | None = None,
        overlap: float | None = None,
        full_image: bool = False,
        tta: bool = False,
        tta_scales: Sequence[float] | None = None,
        dtype: str = "float32",
    ) -> "DetectionPredictor":
        """Build the model of a recipe, load its weights and return its predictor.

        Args:
            cfg: LazyConfig with `model` and `dataloader.test`, such as any file in projects/ViTDet/configs.
            weights: Weight file of the model.
            device: "auto" (CUDA or Apple's GPU if available, else the CPU) or a torch device name.
            score_threshold: Detections with a lower final score are dropped.
            max_detections: Largest number of detections of an image; by default that of the recipe.
            class_names: Name and dataset id of each class index; by default those that `find_categories` finds.
            slice_size: Side in pixels of the slices of large images; None takes the slices of the recipe's
                `dataloader.inference`, and predicts every image as a whole if it has none.
            overlap: Fraction of its side that a slice shares with the next one, by default 0.2.
            full_image: Add the objects of the image as a whole to those of its slices.
            tta: Use test-time augmentation.
            tta_scales: Sizes of its views, see `TestTimeAugmentation`; scales without `tta` use it too.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The device, the config or the weight file cannot be used, or the number of categories differs
                from the number of classes of the model.
        """
        # Report what cannot be used before the model is built and loaded.
        pick_device(device)
        slices = make_slices(slice_size, overlap, full_image) or slices_of_recipe(cfg)
        augmentation = make_augmentation(tta, tta_scales)
        resize, image_format = _test_input(cfg)
        model = load_trained(cfg, weights, GeneralizedRCNN, dtype, device)
        if class_names is None:
            categories, source = find_categories(cfg, weights)
        else:
            categories, source = class_names, "the list given"
            match_given_names(class_names.names, model.roi_heads.num_classes, cfg, weights)
        categories = match_categories(categories, model.roi_heads.num_classes, source)
        return cls(
            model,
            resize,
            categories,
            image_format=image_format,
            device=device,
            score_threshold=score_threshold,
            max_detections=max_detections,
            slices=slices,
            augmentation=augmentation,
        )

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        """Resize an image for the model.

        Args:
            image: uint8 RGB [H, W, 3] of any size.
            path: Name of the image in its result.

        Raises:
            InputError: The image is too narrow for the resize.
        """
        height, width = image.shape[:2]
        if self.slices is not None and len(self.slices.windows(height, width)) > 1:
            # Slices are resized when it is their turn: all together would take a multiple of the image's memory.
            return ImageSample(path, image, (height, width), image)
        return self.prepare_whole(image, path)

    def prepare_whole(self, image: np.ndarray, path: str = "") -> ImageSample:
        """Resize an image, which is not sliced, or a slice; see `prepare`."""
        height, width = image.shape[:2]
        ordered = np.ascontiguousarray(image[:, :, ::-1] if self.image_format == "BGR" else image)
        try:
            if self.augmentation is not None:
                return ImageSample(path, image, (height, width), self.augmentation.views(ordered, self.resize))
            resized = T.AugInput(ordered)
            self.resize(resized)
        except ValueError as error:
            raise InputError(
                f"the image of {width}x{height} pixels is too narrow to be resized for the model; crop it."
            ) from error
        pixels = torch.as_tensor(np.ascontiguousarray(resized.image.transpose(2, 0, 1)).astype(np.float32))
        return ImageSample(path, image, (height, width), pixels)

    @torch.inference_mode()
    def predict(self, samples: Sequence[ImageSample]) -> list[DetectionResult]:
        """Detect objects in a batch of images.

        Args:
            samples: Images from `prepare`.

        Returns:
            The detections of each image with at least the score threshold, best first, in pixels of the image. A model
            with a mask head gives each object a mask.

        Raises:
            InputError: An image is after the resize larger than the model accepts.
        """
        self.apply_limits()
        if self.slices is None:
            return self._predict_whole(samples)
        results = []
        for sample in samples:
            is_sliced = isinstance(sample.inputs, np.ndarray)
            results += [self._predict_slices(sample)] if is_sliced else self._predict_whole([sample])
        return results

    def apply_limits(self) -> None:
        """Make `max_detections` the limit of the model, which other predictors may share."""
        self._limits.set_max_detections(self.max_detections)

    def _predict_whole(self, samples: Sequence[ImageSample]) -> list[DetectionResult]:
        results = []
        for sample, found in zip(samples, self.detect(samples, self.score_threshold), strict=True):
            encode_masks(found.instances)
            results.append(self._result(sample, found))
        return results

    def _predict_slices(self, sample: ImageSample) -> DetectionResult:
        """Detect objects in the slices of an image, whose inputs are the image itself, and merge them."""
        assert self.slices is not None
        found = detect_in_slices(self, sample.inputs, self.slices.windows(*sample.size))
        # The model has limited the detections of each slice.
        if self.max_detections is not None and len(found.instances) > self.max_detections:
            limits = dict.fromkeys((*found.reached_limits, self._limits.describe_max_detections()))
            found = Found(found.instances[: self.max_detections], tuple(limits))
        return self._result(sample, found)

    def _result(self, sample: ImageSample, found: Found) -> DetectionResult:
        self.reached_limits.update(found.reached_limits)
        return DetectionResult.from_instances(
            found.instances,
            path=sample.path,
            image=sample.image,
            class_names=self.categories.names,
            category_ids=self.categories.ids,
            score_threshold=self.score_threshold,
            reached_limits=found.reached_limits,
        )

    def detect(self, samples: Sequence[ImageSample], score_threshold: float) -> list[Found]:
        """Run the model on images that are not sliced; their masks are not yet those of the images.

        Args:
            samples: Images from `prepare`.
            score_threshold: Detections with a lower final score are dropped.
        """
        if self.augmentation is None:
            # The model's own post-processing would create all full-size masks at once.
            outputs = self.model.inference([{"image": sample.inputs} for sample in samples], do_postprocess=False)
        elif len(samples) > 1:
            found = []
            for sample in samples:
                found += self.detect([sample], score_threshold)
            return found
        else:
            outputs = [self.augmentation.detect(self.model, samples[0].inputs)]
        found = []
        for index, (sample, detections) in enumerate(zip(samples, outputs, strict=True)):
            reached_limits = self._limits.reached(detections, self.score_threshold, index)
            detections = detections[detections.scores >= score_threshold]
            detections = detections[detections.scores.argsort(descending=True, stable=True)]
            found.append(Found(rescale_to_image(detections, *sample.size), tuple(reached_limits)))
        return found

    def for_features(self) -> "DetectionPredictor":
        """Return a predictor with the same model that takes images as a whole, without views."""
        return self.with_options(slices=None, augmentation=None)

    def backbone_input(self, sample: ImageSample) -> torch.Tensor:
        """Return the normalised and padded image, [1, 3, H, W]."""
        if isinstance(self.model, ExportedDetector):
            raise InputError("an exported detector gives no features; give the weights that it was exported from.")
        return self.model.preprocess_image([{"image": sample.inputs}]).tensor

    def tracker(self, rate: float) -> Callable[[DetectionResult], DetectionResult]:
        """Return a function that gives the objects of consecutive frames identities, see `ObjectTracker`."""
        return ObjectTracker(rate, self.score_threshold).update

    def remarks(self) -> Counter[str]:
        """Return for each limit on detections in how many images and frames it was reached, and further remarks."""
        text = "limit reached in {} images or frames, which may have more objects: "
        return super().remarks() + Counter({text + limit: count for limit, count in self.reached_limits.items()})


def _test_input(cfg: Any) -> tuple[T.Augmentation, str]:
    """Return the resize and the channel order of the config's evaluation, so that prediction uses the same input."""
    augmentations = OmegaConf.select(cfg, "dataloader.test.mapper.augmentations", default=None)
    if augmentations is not None:
        image_format = OmegaConf.select(cfg, "dataloader.test.mapper.image_format", default="RGB")
        return T.AugmentationList(list(instantiate(augmentations))), image_format
    # The config of a run on custom data without validation data has no test loader.
    side = OmegaConf.select(cfg, "model.backbone.square_pad", default=None)
    if side is None:
        raise InputError(
            "the config has no model with dataloader.test.mapper.augmentations; give a detection config, "
            "such as projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py."
        )
    return T.ResizeShortestEdge(side, max_size=side), OmegaConf.select(cfg, "model.input_format", default="RGB")
