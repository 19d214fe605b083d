"""A sentence in place of a traceback, where a command needs a package that this environment lacks."""

_RECIPES = ("detectron2", "fvcore", "hydra", "iopath", "omegaconf")
_DETECTRON2 = (
    "in the folder of EVA Vision run pip install '.[detection]' and then uv pip install --python-version 3.10 "
    "--no-deps -r requirements/detectron2.txt, or take upstream's from "
    "https://github.com/facebookresearch/detectron2 instead of the latter."
)
_OURS = ("detectron2_ext", "eva_")


def how_to_install(error: ModuleNotFoundError) -> str | None:
    """The end of "... needs", which names the package and how it is installed; None where it is one of this project."""
    name = (error.name or "").partition(".")[0]
    if not name or name.startswith(_OURS):
        return None
    if name in _RECIPES:
        return f"Detectron2 and what it stands on, of which {name} is not installed: {_DETECTRON2}"
    return (
        f"the package {name}, which is not installed: what the tasks import is in the extras detection, video and "
        "clip, so run pip install '.[detection,video,clip]' in the folder of EVA Vision."
    )
