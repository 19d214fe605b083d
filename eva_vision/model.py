"""A trained model of any task, ready to use."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError
from eva_engine.exported_models import is_exported
from eva_engine.prediction.load_predictor import LoadedRecipe, check_options
from eva_engine.prediction.predictor import Predictor
from eva_engine.prediction.result import Result
from eva_engine.safe_text import printable
from eva_engine.tasks import BATCH_SIZE, FRAME_STRIDE, MAX_FRAMES

from .features import block_features
from .prediction_loop import predict_frames, predict_sources
from .sources import find_sources, logger

if TYPE_CHECKING:
    import torch

    from eva_deploy.exporting import Exported

    from .embedding import Embeddings


class Model:
    """A trained model with its class names and the preprocessing of its evaluation; `eva_vision.load` makes it.

    Args:
        predictor: Predictor of the task.
        recipe: The recipe with its task.
        weights: What the weights were loaded from.
        class_names: Class names that the user gave, or a file with them; None for those of the recipe.

    Attributes:
        predictor: The predictor; `predictor.model` is the module of PyTorch.
        task: Name of the task, such as "detection".
        recipe: Path of the recipe that the model was built from.
    """

    def __init__(
        self, predictor: Predictor[Any, Any], recipe: LoadedRecipe, weights: str, class_names: Any = None
    ) -> None:
        self.predictor = predictor
        self.task = recipe.task.name
        self.recipe = recipe.path
        self._loaded = recipe, weights, class_names
        options = recipe.task.predict_options
        self._call_options = [option for option in options if option.name in predictor.call_options]
        self._last: tuple[Mapping[str, Any], Predictor[Any, Any]] = ({}, predictor)
        self._reported_limits: set[str] = set()
        self._reported_frames = False

    def __repr__(self) -> str:
        """Return the task, the number of classes and the recipe."""
        return f"Model({self.task}, {len(self.names)} classes, {self.recipe})"

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each class; for a model of images and texts, the labels that were given to `load`."""
        return tuple(self.predictor.class_names)

    def predict(
        self,
        source: Any,
        *,
        batch_size: int | None = None,
        stream: bool = False,
        recursive: bool = False,
        keep_images: bool | None = None,
        frame_stride: int = 1,
        max_frames: int | None = None,
        track: bool = False,
        **options: Any,
    ) -> Any:
        """Predict on images or videos.

        Args:
            source: A path of an image, video or folder, a web address of a file or stream, or 0 for the first camera;
                an image of Pillow, a uint8 array [H, W, 3] or a tensor [3, H, W] (uint8, or 0 to 1), always RGB; a list
                of these, or an iterator over them.
            batch_size: Number of images, or of slices of an image, per forward pass; by default that of the task, 1 or
                16.
            stream: Return a generator, which needs memory for a few results only. Of a folder it also has the frames
                of the videos, for models that take images.
            recursive: Search the subfolders of folders too.
            keep_images: Whether results keep their images, which `Result.plot` needs. By default they do, except those
                of a folder in a list, which may not fit into memory.
            frame_stride: Only the first of every `frame_stride` frames of a video is predicted on.
            max_frames: Number of frames of a video after which to stop; None for all.
            track: Give objects identities across the frames of a video, `track_ids`.
            options: Options of the task for this call: `score_threshold` and `max_detections` of detectors, `top` of
                classifiers, `labels`, `templates` and `top` of EVA-CLIP. By default those given to `load`.

        Returns:
            A list of results, one for each image or video, also for a single one; for a video whose frames are
            predicted one by one, an iterator or `stream`, a generator.

        Raises:
            InputError: The source or an option cannot be used. A file found in a folder that cannot be read is logged
                as a warning and left out.
        """
        numbers = check_options(
            (BATCH_SIZE, FRAME_STRIDE, MAX_FRAMES),
            {"batch_size": batch_size, "frame_stride": frame_stride, "max_frames": max_frames},
            "predict",
        )
        predictor = self._with_options(options)
        predictor.check_ready()  # what no image can be predicted without is no fault of the files of a folder
        found = find_sources(source, predictor.kinds, recursive, videos_in_folders=stream)
        found.log_problems()
        is_stream = stream or found.is_stream
        if keep_images is None:
            keep_images = is_stream or not found.has_folder
        size = numbers.pop("batch_size", predictor.batch_size)
        if size != predictor.batch_size:
            predictor = predictor.with_options(batch_size=size)  # also that of slices
        if found.video is not None:
            frames = predict_frames(predictor, found.video, size, keep_images, **numbers, track=track)
            return self._reporting(frames, predictor)
        if frame_stride != 1 or max_frames is not None or track:
            raise InputError("frame_stride, max_frames and track are for the frames of one video; leave them out.")
        results = self._reporting(predict_sources(predictor, found.sources, size, keep_images), predictor)
        return results if is_stream else list(results)

    __call__ = predict

    def features(self, images: Any, blocks: int | Sequence[int] = -1) -> "list[list[torch.Tensor]]":
        """Return feature maps of the backbone.

        Args:
            images: See `source` of `predict`; all features are in memory at once.
            blocks: Index of a block of the backbone, from 0, or several in any order; -1 is the last one.

        Returns:
            For each image, and for each of the blocks in the order given, the features of its patches [C, h, w], for
            videos [C, t, h, w], in float32 on the CPU, without the final norm. The image is transformed as for a
            prediction; a detector pads it at the bottom and right.

        Raises:
            InputError: An image cannot be read, the backbone has no such block, or the model is an exported one.
        """
        weights = self._loaded[1]
        if is_exported(weights):
            raise InputError(
                f"{weights} is an exported model, which gives no features of blocks; load the weights that it was "
                "exported from."
            )
        found = find_sources(images, self.predictor.kinds)
        return block_features(self.predictor, found.all_required(), blocks)

    def embed(self, images: Any = None, texts: str | Sequence[str] | None = None) -> "Embeddings":
        """Return the features of images and texts of an EVA-CLIP model; see `eva_vision.embed`."""
        from .embedding import embed

        return embed(self, images, texts)

    def export(
        self,
        format: str,
        output: str | os.PathLike[str],
        *,
        image_size: int | None = None,
        dynamic_size: bool = False,
        batch_size: int | None = None,
        dtype: str = "float32",
        compiled: bool = False,
        with_example: bool = False,
        calibration: str | Sequence[str] = (),
        images: str | Sequence[str] = (),
        num_images: int = 8,
    ) -> "Exported":
        """Write the model for another runtime, and compare the file with the original on real images.

        The weights are loaded once more, in float32 on the CPU. `python -m tools export-model` does the same, and its
        options have the same names.

        Args:
            format: "onnx", "openvino" or "torch".
            output: Folder for the files.
            image_size: Side in pixels of the windows of a segmentation model; None for that of the recipe.
            dynamic_size: Whether height and width may vary, for UperNet.
            batch_size: Fixed number of images per run; None for any number.
            dtype: Type of the weights: "float32", "float16" or "bfloat16".
            compiled: For "torch": compile the program to machine code, the option --aot.
            with_example: For "onnx": write a module next to the file that runs it without PyTorch.
            calibration: For "openvino": images like those that the model will get; weights and activations then have 8
                bits, the option --int8.
            images: Image, video or folder to compare on, or several; by default those of `calibration`, else photos in
                installed packages.
            num_images: Largest number of images to compare on.

        Returns:
            The files, and how well they agree with the original: `parity.excesses` is empty unless the largest
            differences exceed the tolerance.

        Raises:
            InputError: The model cannot be exported in this way, or a package that is needed is not installed.
        """
        from eva_deploy.exporting import ExportRequest, export_model
        from eva_deploy.task_export import ExportOptions

        recipe, weights, class_names = self._loaded
        request = ExportRequest(
            format=format,
            folder=Path(output),
            options=ExportOptions(image_size, dynamic_size, batch_size, dtype),
            compiled=compiled,
            with_example=with_example,
            calibration=_as_paths(calibration),
            images=_as_paths(images),
            num_images=num_images,
        )
        return export_model(recipe, weights, request, class_names)

    def _with_options(self, options: Mapping[str, Any]) -> Predictor[Any, Any]:
        """Return the predictor for the options of a call; the last one is kept, because labels take time to encode."""
        given = check_options(self._call_options, options, f"predict of a model for {self.task}")
        if not given:
            return self.predictor
        if given != self._last[0]:
            self._last = (given, self.predictor.with_options(**given))
        return self._last[1]

    def _reporting(self, results: Iterable[Result], predictor: Predictor[Any, Any]) -> Iterator[Result]:
        """Yield the results, and log when a limit is reached, or a frame of several is used, for the first time."""
        for result in results:
            if getattr(predictor, "num_with_frames", 0) and not self._reported_frames:
                self._reported_frames = True
                logger.warning("only the first frame or page is used of images that have several")
            for limit in result.reached_limits:
                if limit not in self._reported_limits:
                    self._reported_limits.add(limit)
                    name = printable(result.path) or "an image"
                    logger.warning("%s: limit reached, there may be more objects: %s", name, limit)
            yield result


def _as_paths(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(map(str, given))
