"""Open an exported file: its recipe, its description, and its model as a module of PyTorch that runs the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from eva_backbone.errors import InputError
from eva_engine.config import task_of_config
from eva_engine.tasks import Task, all_tasks

from .exported_model import ExportedModel, GraphFunction
from .formats.table import load_graph, read_metadata
from .metadata import Metadata
from .task_export import TaskExport


def recipe(path: Path) -> str:
    """Return the recipe in an exported file as YAML; see `read_metadata` for the errors."""
    return read_metadata(path).recipe


def open_model(path: Path, cfg: Any, device: str = "auto") -> nn.Module:
    """Return a module that runs an exported file, for the predictor and the evaluations of its task.

    Args:
        path: The file. The user must trust one of the format "torch": loading it can run any code.
        cfg: Its recipe with the changes of the user.
        device: "auto" or the name of a torch device.

    Raises:
        InputError: The file or one that belongs to it cannot be opened, or its task is not that of the recipe.
    """
    metadata = read_metadata(path)
    task = task_of_config(cfg)
    if metadata.task != task.name:
        raise InputError(
            f"{path} is an exported model for {metadata.task}, but the config is for {task.name}; leave --config-file "
            f"out, or give a model for {task.name}."
        )
    exported = open_graphs(path, metadata, device)
    try:
        return task_export(task).stand_in(exported, cfg).eval()
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise InputError(f"the settings of {path} cannot be used ({reason}); export the model again.") from error


def open_graphs(path: Path, metadata: Metadata, device: str = "auto") -> ExportedModel:
    """Return the graphs of an exported file, and of those next to it that belong to the same model, as functions.

    Raises:
        InputError: A file is missing, cannot be opened, or is from another export.
    """
    graphs = {}
    for name, description in metadata.graphs.items():
        file, own = path, metadata
        if name != metadata.graph:
            file = path.parent / f"{Path(name).name}{path.suffix}"  # in the same folder, whatever the metadata say
            own = _read_other(file, metadata, name)
        graphs[name] = GraphFunction(load_graph(file, own, device), description["inputs"], file)
    return ExportedModel(path, metadata, graphs)


def _read_other(file: Path, metadata: Metadata, name: str) -> Metadata:
    if not file.is_file():
        raise InputError(
            f"the file {file.name} is missing next to {metadata.graph}{file.suffix}; keep the files of a model "
            "in one folder, under their names."
        )
    other = read_metadata(file)
    if (other.graph, other.recipe, other.settings) != (name, metadata.recipe, metadata.settings):
        raise InputError(f"{file} is from another export than {metadata.graph}{file.suffix}; give those of one export.")
    return other


def task_export(task: Task) -> TaskExport:
    """Return the exports of a task.

    Raises:
        InputError: It has none.
    """
    export_class = task.load("export")
    if export_class is None:
        having = ", ".join(other.name for other in all_tasks() if other.export)
        raise InputError(f"models for {task.name} cannot be exported; those for {having} can.")
    return export_class()


def describe(path: Path) -> Iterator[str]:
    """Yield lines about an exported file, for `inspect`; see `read_metadata` for the errors."""
    metadata = read_metadata(path)
    yield f"{path}: exported model for {metadata.task}, {metadata.format}, {path.stat().st_size:,} bytes"
    yield f"  written by EVA Vision {metadata.project}, weights in {metadata.dtype}"
    yield f"  {', '.join(f'{name}: {value}' for name, value in metadata.details.items())}"
    for name, graph in metadata.graphs.items():
        inputs = ", ".join(f"{item['name']} {item['shape']} {item['dtype']}" for item in graph["inputs"])
        yield f"  graph {name}: {inputs} -> {', '.join(graph['outputs'])}"
    names = metadata.class_names
    if names:
        more = ", ..." if len(names) > 8 else ""
        yield f"  {len(names)} classes: {', '.join(names[:8])}{more}"
    yield f"  predict: python -m tools predict --weights {path} --input photos/"
    yield f"  evaluate: python -m tools evaluate --weights {path}"
