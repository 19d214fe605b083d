"""The folder that published data sets are looked for in."""

import os
from pathlib import Path


def dataset_root() -> str:
    """The folder all published data sets lie under: DETECTRON2_DATASETS, by default ``datasets``."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def missing_file_hint(name: str, path: str | os.PathLike) -> str:
    """The mend of a missing file or folder of data set ``name``."""
    if not Path(path).absolute().is_relative_to(Path(dataset_root()).absolute()):
        return f"data set {name!r} was registered with this path; check it"
    return (
        f"data set {name!r} is looked for under DETECTRON2_DATASETS ({dataset_root()!r} now), "
        "point it to your data; datasets/README.md shows the layout"
    )
