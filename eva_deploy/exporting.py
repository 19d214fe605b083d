"""Export a model: write it, and compare it with the original. For the command and for Python."""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from eva_backbone.errors import InputError, check_choice
from eva_engine.atomic import atomic_path
from eva_engine.compilation import check_compiler
from eva_engine.config.class_list import stored_categories
from eva_engine.exported_models import is_exported
from eva_engine.inference_precision import DTYPES
from eva_engine.output_files import unwritable_reason
from eva_engine.prediction.load_predictor import LoadedRecipe, build_predictor, load_recipe
from eva_engine.prediction.predictor import Predictor

from .formats.table import FORMATS, check_packages, read_metadata
from .opening import task_export
from .parity import Parity, check_parity
from .quantization import INT8, MAX_INPUTS, quantize
from .sample_images import find_images
from .task_export import ExportOptions, TaskExport
from .writing import Source, write_model

EXAMPLE = "run_model.py"


@dataclass(frozen=True)
class ExportRequest:
    """What the user asked for.

    Attributes:
        format: "onnx", "openvino" or "torch".
        folder: Folder for the files.
        options: Sizes and type.
        compiled: For "torch": compile the program to machine code.
        with_example: For "onnx": write a module next to the file that runs it without PyTorch.
        images: Images, videos and folders of them to compare on; () for those of the calibration, or without one for
            those in installed packages.
        num_images: Largest number of them.
        calibration: For "openvino": images, videos and folders of them, with which the model is quantised to 8 bits;
            () does not quantise it.
    """

    format: str
    folder: Path
    options: ExportOptions = field(default_factory=ExportOptions)
    compiled: bool = False
    with_example: bool = False
    images: tuple[str, ...] = ()
    num_images: int = 8
    calibration: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        files: The files, first the one to name as weights.
        parity: How well it agrees with the original.
    """

    files: Sequence[Path]
    parity: Parity


def check_request(request: ExportRequest, weights: str) -> None:
    """Check what can be checked without a model.

    Raises:
        InputError: Options contradict each other, a package is missing, or the folder cannot be written.
    """
    if is_exported(weights):
        raise InputError(f"{weights} is an exported model already; give the weights that it was exported from.")
    if request.compiled and request.format != "torch":
        raise InputError(f"--aot compiles programs of PyTorch, not {request.format}; give --format torch.")
    if request.compiled:
        check_compiler(torch.device("cpu"), "--aot")
    if request.with_example and request.format != "onnx":
        raise InputError(f"--with-example is for ONNX, not for {request.format}; give --format onnx.")
    if request.calibration and (request.format != "openvino" or request.options.dtype != "float32"):
        raise InputError("8 bits are offered for OpenVINO only; give --format openvino, and leave --dtype out.")
    check_choice("format", request.format, tuple(FORMATS))
    check_choice("dtype", request.options.dtype, tuple(DTYPES))
    check_packages(request.format, *(["nncf"] if request.calibration else []))
    reason = unwritable_reason(request.folder)
    if reason:
        raise InputError(f"{request.folder}: the files cannot be written ({reason}); give another --output.")


def export_model(recipe: LoadedRecipe, weights: str, request: ExportRequest, class_names: Any = None) -> Exported:
    """Load a model, write it as the request says, and compare the files with the model.

    Args:
        recipe: Recipe of the model.
        weights: Weight file, published name or folder of a run.
        request: What to write.
        class_names: Names of the classes, see `build_predictor`; None for those of the recipe.

    Raises:
        InputError: The model cannot be loaded or exported, or there is no image to compare on.
    """
    check_request(request, weights)
    export = task_export(recipe.task)
    if request.with_example and not export.example:
        raise InputError(f"there is no example without PyTorch for {recipe.task.name}; leave --with-example out.")
    predictor_class = recipe.task.load("predictor")
    # In 8 bits values outside of the calibrated ranges are cut off, so that images of another kind say nothing.
    compared = request.images or request.calibration
    inputs = find_images(list(compared), predictor_class.kinds, request.num_images)
    names = {} if class_names is None else {"class_names": class_names}
    original = build_predictor(recipe, weights, "cpu", names)
    cfg = copy.deepcopy(recipe.cfg)
    if names or stored_categories(cfg, weights)[0] is not None:
        export.store_names(cfg, original)
    source = Source(original, cfg, recipe.task)
    files = write_model(source, request.format, request.folder, request.options, compiled=request.compiled)
    if request.with_example:
        files.append(_write_example(export, files[0]))
    exported, dtype = _open(files[0]), request.options.dtype
    if request.calibration:
        quantize(export, exported, find_images(list(request.calibration), predictor_class.kinds, MAX_INPUTS))
        exported, dtype = _open(files[0]), INT8
    return Exported(files, check_parity(export, original, exported, inputs, dtype))


def _open(file: Path) -> Predictor[Any, Any]:
    """Load an exported file by the same path as a user: it has everything that its predictions need."""
    return build_predictor(load_recipe(str(file), trusted_recipes=[str(file)]), str(file), "cpu", {})


def _write_example(export: TaskExport, file: Path) -> Path:
    if read_metadata(file).settings.get("transform", "") is None:
        raise InputError("the recipe's transform has steps that the example does not know; leave --with-example out.")
    path = file.with_name(EXAMPLE)
    with atomic_path(path) as partial:
        partial.write_text(inspect.getsource(import_module(export.example)), encoding="utf-8")
    return path
