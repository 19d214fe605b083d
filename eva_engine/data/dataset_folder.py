"""The folder of published datasets."""

import os
from pathlib import Path


def dataset_root() -> str:
    """Return the folder of all published datasets: DETECTRON2_DATASETS, by default ``datasets``."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def missing_file_hint(name: str, path: str | os.PathLike) -> str:
    """Return a hint for the user on how to fix a missing file or folder `path` of the dataset `name`."""
    if not Path(path).absolute().is_relative_to(Path(dataset_root()).absolute()):
        return f"dataset {name!r} was registered with this path; check it"
    return (
        f"dataset {name!r} is expected under DETECTRON2_DATASETS (currently {dataset_root()!r}), "
        "set it to the folder of your data; datasets/README.md shows the layout"
    )
