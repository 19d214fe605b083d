"""Advice for a command that needs a package which is not installed, instead of a traceback."""

from eva_engine.tasks import registered_packages

# Packages of optional extras.
_EXTRAS = {
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "openvino": "export,openvino",
    "nncf": "export,openvino",
}
_NEEDED_BY_RECIPES = ("detectron2", "fvcore", "hydra", "iopath", "omegaconf")
_DETECTRON2 = (
    "in the folder of EVA Vision run pip install '.[detection]' and then uv pip install --python-version 3.10 "
    "--no-deps -r requirements/detectron2.txt; instead of the latter you can install Detectron2 from "
    "https://github.com/facebookresearch/detectron2."
)


def how_to_install(error: ModuleNotFoundError) -> str | None:
    """Return the end of a sentence "... needs", with the package and how to install it; None for this project's own."""
    name = (error.name or "").partition(".")[0]
    if not name or name.startswith("eva_") or name in registered_packages():
        return None
    if name in _NEEDED_BY_RECIPES:
        return f"Detectron2 and its dependencies, and {name} is not installed: {_DETECTRON2}"
    extra = _EXTRAS.get(name)
    if extra is not None:
        return f"the package {name}, which is not installed: run pip install '.[{extra}]' in the folder of EVA Vision."
    return (
        f"the package {name}, which is not installed: the extras detection, video and clip contain all packages that "
        "the tasks need, so run pip install '.[detection,video,clip]' in the folder of EVA Vision."
    )
