"""The registry of tasks.

No task is named in the engine. A package that adds a task describes it once, as a `Task`, and registers it under the
entry point group `eva_vision.tasks` of its distribution:

    [project.entry-points."eva_vision.tasks"]
    rotation = "rotation_task.task:TASK"

A module that holds a `Task` must be cheap to import: commands read all tasks to print their help. Everything slow is
therefore given as a reference, "module:attribute", and imported when it is used.
"""

import inspect
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.commands.cli import fraction, positive_int

TASK_GROUP = "eva_vision.tasks"
VERB_GROUP = "eva_vision.verbs"

# Headings in the table of commands, in this order.
EVERY_TASK, DATA, WEIGHT_FILES, DEMOS = (
    "for every task",
    "for data",
    "for weight files",
    "demos on real data, without a GPU",
)


@dataclass(frozen=True)
class Verb:
    """A command, `python -m tools NAME`.

    Attributes:
        summary: One-line description.
        module: Module whose `main(argv)` runs the command and returns its exit status.
        group: Heading in the table of commands.
        arguments: Arguments that are put before those of the user.
    """

    summary: str
    module: str
    group: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """A command-line option that a task adds to `train` or `predict`.

    For `predict`, the keyword-only parameter of the same name belongs to `from_config` of the task's `Predictor`, or to
    the task's `FileTask`.

    Attributes:
        flag: Name with dashes, such as "--class-names".
        help: Text for `--help`.
        keywords: Further arguments of `argparse`'s `add_argument`.
        is_text: The values are free text; one with a "=" is not read as a change to the config.
        is_required: `predict` refuses to run the task without it.
        example: A value for examples of commands, if it is required.
    """

    flag: str
    help: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    is_text: bool = False
    is_required: bool = False
    example: str = ""

    @property
    def name(self) -> str:
        """Name of the parameter: `dest` of the keywords, or the flag without dashes."""
        return self.keywords.get("dest") or self.flag.lstrip("-").replace("-", "_")


# Options of `predict` that several tasks accept.
CLASS_NAMES = Option(
    "--class-names",
    "file with class names: one per line, or JSON with a list or with COCO's categories; default: those of the recipe",
    {"metavar": "FILE"},
)
BATCH_SIZE = Option(
    "--batch-size",
    "images or frames per forward pass; default: that of the task, 1 or 16",
    {"type": positive_int, "metavar": "N"},
)
NO_IMAGES = Option("--no-images", "draw no images or videos; write only data", {"action": "store_true"})
MAX_FRAMES = Option("--max-frames", "stop after N processed frames of a video", {"type": positive_int, "metavar": "N"})
FRAME_STRIDE = Option(
    "--frame-stride", "process every Nth frame of a video, default: 1", {"type": positive_int, "metavar": "N"}
)
MIN_SLICE = 32  # pixels; smaller ones show no object, and a photo has so many that the prediction never ends
MAX_OVERLAP = 0.9  # of windows, for the same reason: with 1, they would not move
SLICE = Option(
    "--slice",
    "side of overlapping square windows, which are predicted one by one and merged: in pixels of the image for "
    "detection, of the resized image for segmentation, at least 32; default: those of the recipe, or the image as a "
    "whole",
    {"type": positive_int, "metavar": "PIXELS", "dest": "slice_size"},
)
OVERLAP = Option(
    "--overlap",
    "smallest fraction of its side that a window of --slice shares with the next one, 0 to 0.9, default: 0.2",
    {"type": fraction, "metavar": "F"},
)
# Options of `train` and `evaluate` for custom data, which several tasks accept.
TRAIN_DATA = Option("--train-data", "folder or file of the data to train on, of any known format", {"metavar": "PATH"})
VAL_DATA = Option("--val-data", "folder or file of the data to evaluate on", {"metavar": "PATH"})
VAL_SHARE = Option(
    "--val-share",
    "evaluate on this fraction of the images or videos of --train-data, the same in every run, with the classes in the "
    "same proportions",
    {"type": fraction, "metavar": "F"},
)
TOP = Option("--top", "number of classes or labels in a result, default: 5", {"type": positive_int, "metavar": "N"})


@dataclass(frozen=True)
class Task:
    """Description of a task for the engine.

    Attributes:
        name: Name in headings and messages, such as "detection".
        package: Top-level package whose models belong to this task, and whose log messages a run shows.
        other_packages: Packages outside of this project whose models belong to this task as well.
        models: Description of every model class, by class name, for `inspect`.
        predictor: `Predictor` that runs the task's models.
        file_task: `FileTask` that runs the predictor on files and writes its results.
        synthetic_batch: `SyntheticBatch` that makes training batches for memory plans.
        without_prediction: Names of model classes, such as those of pre-training, that `predict` cannot use.
        describe_weights: Function that describes a model from its weights, for `inspect`; optional.
        other_uses: Function that finds further uses of a weight file, for `inspect`; optional.
        image_pairs: Function that draws images for the report of a run; optional.
        published_weights: Sequence of `PublishedFile`, the weight files that commands accept by name; optional.
        recipes: Folder of recipes inside of `package`; the config.yaml of a run may name what they use.
        former_names: Classes and functions that the config.yaml of an earlier version may name, each with the one that
            is used in its place, which takes the same arguments.
        custom_data: Class that makes a recipe use the data of `train_options`; optional.
        data_check: `DataCheck` that checks the task's data; optional.
        fit_to_data: Function that changes a recipe as its training data requires, before a run,
            `fit_to_data(cfg, given)` with the keys that the user has set; optional.
        train_options: Options of `train` and `evaluate` that the task adds.
        train_options_help: Text below the heading of those options.
        evaluation_options: Options of `train` and `evaluate` that change how the images of an evaluation are predicted.
        evaluate_with: Function that changes a recipe as those options say, `evaluate_with(cfg, **given_options)`.
        inference: Function that returns the module that the evaluations of a recipe with a `dataloader.inference` run
            instead of the model, `inference(cfg, model)`; optional.
        export: Class that exports the task's models, a `TaskExport` of `eva_deploy`; optional.
        predict_usage: Examples for the help of `predict`.
        predict_options: Options of `predict` for the task's predictor.
        output_options: Options of `predict` for the files that the task writes.
        verbs: Commands that the task adds, by name.
    """

    name: str
    package: str
    models: Mapping[str, str]
    predictor: str
    file_task: str
    synthetic_batch: str
    other_packages: tuple[str, ...] = ()
    without_prediction: tuple[str, ...] = ()
    describe_weights: str = ""
    other_uses: str = ""
    image_pairs: str = ""
    published_weights: str = ""
    recipes: str = ""
    former_names: Mapping[str, str] = field(default_factory=dict)
    custom_data: str = ""
    data_check: str = ""
    fit_to_data: str = ""
    train_options: tuple[Option, ...] = ()
    train_options_help: str = ""
    evaluation_options: tuple[Option, ...] = ()
    evaluate_with: str = ""
    inference: str = ""
    export: str = ""
    predict_usage: str = ""
    predict_options: tuple[Option, ...] = ()
    output_options: tuple[Option, ...] = ()
    verbs: Mapping[str, Verb] = field(default_factory=dict)

    def load(self, part: str) -> Any:
        """Import the object that the attribute `part` refers to; None if the task has no such part.

        Raises:
            InputError: The object does not exist.
        """
        reference = getattr(self, part)
        if not reference:
            return None
        module, _, attribute = reference.partition(":")
        wrong = InputError(f"the task {self.name} gives {reference} as its {part}, which does not exist; correct it")
        try:
            return getattr(import_module(module), attribute)
        except AttributeError as error:
            raise wrong from error
        except ModuleNotFoundError as error:
            if f"{module}.".startswith(f"{error.name}."):
                raise wrong from error
            raise  # a package that the module needs is not installed


def check_data_options(args: Namespace) -> bool:
    """Return whether `TRAIN_DATA` or `VAL_DATA` is given, after checking that the options fit each other.

    Raises:
        InputError: Options exclude each other or have no effect, or a file or folder does not exist.
    """
    train, val = args.train_data, args.val_data
    for path in (train, val):
        if path is not None and not os.path.exists(path):
            raise InputError(f"{path}: no such file or folder; give the folder or file of the data.")
    if args.val_share is not None and train is None:
        raise InputError("--val-share takes a part of --train-data; add it, or omit --val-share.")
    if args.val_share is not None and val is not None:
        raise InputError("--val-share and --val-data exclude each other; omit one of them.")
    if args.val_share is not None and not 0 < args.val_share < 1:
        raise InputError(f"--val-share is {args.val_share}; give a fraction between 0 and 1, such as 0.1.")
    if args.eval_only and train is not None and val is None:
        raise InputError("evaluate does not use --train-data; give --val-data.")
    if not args.eval_only and train is None and val is not None:
        raise InputError("there is no data to train on; give --train-data too.")
    return train is not None or val is not None


_registered: list[Task] = []


def register_task(task: Task) -> None:
    """Add a task in this process, in addition to those of the installed packages; one that exists stays as it is."""
    if task not in [*_installed_tasks(), *_registered]:
        _registered.append(task)


def all_tasks() -> list[Task]:
    """Return the tasks of all installed packages in the order of their names, then those of `register_task`.

    Raises:
        InputError: No package with a task is installed, or one of them is broken.
    """
    tasks = [*_installed_tasks(), *_registered]
    if not tasks:
        raise InputError(
            "no task is registered: EVA Vision is not installed in this environment; run pip install -e . in its folder"
        )
    return tasks


@cache
def _installed_tasks() -> tuple[Task, ...]:
    return tuple(load_entry_points(TASK_GROUP, Task))


def load_entry_points(group: str, expected_type: type) -> Iterator[Any]:
    """Load what installed packages register under an entry point group, in the order of the names.

    Raises:
        InputError: An entry cannot be loaded or is of another type.
    """
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist else "a package"
        origin = f"the entry point {entry.name} = {entry.value} of {package}"
        try:
            value = entry.load()
        except Exception as error:  # the code of another distribution can fail in many ways
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"{origin} cannot be loaded ({reason}); fix or uninstall that package") from error
        if not isinstance(value, expected_type):
            raise InputError(f"{origin} is not a {expected_type.__name__}; fix or uninstall that package")
        yield value


def find_task(origins: Iterable[Callable | type]) -> Task | None:
    """Return the task of the first class or function in `origins` whose package has one; None if none has.

    Raises:
        InputError: Two tasks claim the same package.
    """
    tasks: dict[str, Task] = {}
    for task in all_tasks():
        for package in (task.package, *task.other_packages):
            other = tasks.setdefault(package, task)
            if other is not task:
                raise InputError(
                    f"the tasks {other.name} and {task.name} both have the package {package}; uninstall one of them"
                )
    for origin in origins:
        package = origin.__module__.partition(".")[0]
        if package in tasks:
            return tasks[package]
    return None


def task_of_model(model: object) -> Task | None:
    """Return the task of a model, by the package of its class or of the nearest base class that belongs to a task."""
    return find_task(type(model).__mro__)


def task_of_target(target: Callable | type) -> Task | None:
    """Return the task of the class or function that builds a recipe's model."""
    if inspect.isclass(target):
        return find_task(inspect.getmro(target))
    return find_task([target])


def all_verbs() -> dict[str, Verb]:
    """Return the commands of all tasks, then those of packages that register only commands, by name."""
    verbs: dict[str, Verb] = {}
    for task in all_tasks():
        verbs.update(task.verbs)
    for more_verbs in load_entry_points(VERB_GROUP, Mapping):
        verbs.update(more_verbs)
    return verbs


def registered_packages() -> set[str]:
    """Return the top-level packages of all tasks and commands."""
    return {task.package for task in all_tasks()} | {verb.module.partition(".")[0] for verb in all_verbs().values()}
