"""What the classes are called, and the sentences that their names are put into."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from eva_backbone.errors import InputError

PLACE = "{}"
_LISTS = {"imagenet_80": "OPENAI_IMAGENET_TEMPLATES", "imagenet_7": "SIMPLE_IMAGENET_TEMPLATES"}
_SUBSETS = ("imagenet_a", "imagenet_r")


def read_templates(source: str | Sequence[str]) -> tuple[str, ...]:
    """Sentences with {} in the place of the class.

    Args:
        source: "imagenet_80" or "imagenet_7", the lists that OpenAI's CLIP was evaluated with; one sentence; a text
            file (.txt) with one a line; or the sentences themselves.

    Raises:
        InputError: no sentence, or one without {}.
    """
    if isinstance(source, str):
        if source in _LISTS:
            return tuple(write(PLACE) for write in getattr(_open_clips_lists(), _LISTS[source]))
        if PLACE not in source and not source.endswith(".txt"):
            raise InputError(
                f"{source!r} is no list of templates: give {', '.join(_LISTS)}, a .txt file with one a line, or a "
                "sentence with {} in the place of the class."
            )
        source = [source] if PLACE in source else _read_lines(source)
    templates = tuple(str(template).strip() for template in source)
    for template in templates:
        if PLACE not in template:
            raise InputError(f"the template {template!r} has no {{}} where the class goes; write one into it.")
    if not templates:
        raise InputError("there is no template; give at least one, such as 'a photo of a {}.'.")
    return templates


def read_class_names(source: str | Sequence[str]) -> tuple[str, ...]:
    """A name for each class, in the order of the class numbers.

    Args:
        source: "imagenet" for OpenAI's names of its 1000 classes, "imagenet_a" or "imagenet_r" for those of the 200
            classes of that set; a text file with one a line; or the names themselves.

    Raises:
        InputError: no name, an empty one, or a file that cannot be read.
    """
    if source == "imagenet":
        return tuple(_open_clips_lists().IMAGENET_CLASSNAMES)
    if isinstance(source, str) and source in _SUBSETS:
        # Imported late: timm's list of the classes is read, which other names do not need.
        from eva_classification.data.class_maps import imagenet_classes

        names = _open_clips_lists().IMAGENET_CLASSNAMES
        return tuple(names[number] for number in imagenet_classes(source).values())
    names = tuple(str(name).strip() for name in (_read_lines(source) if isinstance(source, str) else source))
    if not names:
        raise InputError("there is no class name; give at least one.")
    empty = [number for number, name in enumerate(names) if not name]
    if empty:
        raise InputError(f"the name of class {empty[0]} of {len(names)} is empty; give every class a name.")
    return names


class Prompts:
    """Every class name in every template, with the number of the class; written when asked for.

    Args:
        class_names: see `read_class_names`.
        templates: see `read_templates`.
    """

    def __init__(self, class_names: str | Sequence[str], templates: str | Sequence[str]) -> None:
        self.class_names = read_class_names(class_names)
        self.templates = read_templates(templates)

    def __len__(self) -> int:
        return len(self.class_names) * len(self.templates)

    def __getitem__(self, index: int) -> tuple[str, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, template = divmod(index, len(self.templates))
        # Not str.format: a template may have other braces.
        return self.templates[template].replace(PLACE, self.class_names[number]), number

    def batches(self, size: int) -> Iterator[tuple[list[str], list[int]]]:
        """Prompts and class numbers, `size` at a time."""
        for start in range(0, len(self), size):
            rows = [self[index] for index in range(start, min(start + size, len(self)))]
            yield [text for text, _ in rows], [number for _, number in rows]


def _open_clips_lists() -> ModuleType:
    # open_clip is slow to import, and other names and templates do without it.
    from open_clip import zero_shot_metadata

    return zero_shot_metadata


def _read_lines(path: str) -> list[str]:
    try:
        return [line for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text with one name a line ({error}); check the file.") from error
