"""Prompt templates, and the prompts that they form with class names."""

from collections.abc import Iterator, Sequence

from eva_backbone.errors import InputError
from eva_engine.text_file import read_lines

from .class_names import open_clip_metadata, read_class_names

PLACEHOLDER = "{}"
_PUBLISHED_LISTS = {"imagenet_80": "OPENAI_IMAGENET_TEMPLATES", "imagenet_7": "SIMPLE_IMAGENET_TEMPLATES"}


def read_templates(source: str | Sequence[str]) -> tuple[str, ...]:
    """Return templates, texts with the placeholder {} for the class name.

    Args:
        source: "imagenet_80" or "imagenet_7", the lists that OpenAI's CLIP was evaluated with; a single template; a
            text file (.txt) with one template per line; or the templates themselves.

    Raises:
        InputError: There is no template, or a template has no {}.
    """
    if isinstance(source, str):
        if source in _PUBLISHED_LISTS:
            # open_clip's templates are functions from a class name to a prompt.
            functions = getattr(open_clip_metadata(), _PUBLISHED_LISTS[source])
            return tuple(function(PLACEHOLDER) for function in functions)
        if PLACEHOLDER in source:
            source = [source]
        elif source.endswith(".txt"):
            source = read_lines(source, "list of templates", "give one template per line")
        else:
            raise InputError(
                f"{source!r} is not a list of templates: give {', '.join(_PUBLISHED_LISTS)}, a .txt file with one "
                "template per line, or a template with {} for the class name."
            )
    templates = tuple(str(template).strip() for template in source)
    for template in templates:
        if PLACEHOLDER not in template:
            raise InputError(f"the template {template!r} has no {{}} for the class name; add one.")
    if not templates:
        raise InputError("there is no template; give at least one, such as 'a photo of a {}.'.")
    return templates


class ClassPrompts:
    """A sequence of all prompts with their class numbers: each class name in each template, created on access.

    Args:
        class_names: Class names or a source of them, see `read_class_names`.
        templates: Templates or a source of them, see `read_templates`.
    """

    def __init__(self, class_names: str | Sequence[str], templates: str | Sequence[str]) -> None:
        self.class_names = read_class_names(class_names)
        self.templates = read_templates(templates)

    def __len__(self) -> int:
        return len(self.class_names) * len(self.templates)

    def __getitem__(self, index: int) -> tuple[str, int]:
        """Return a prompt and its class number; all prompts of a class are consecutive."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        class_number, template_number = divmod(index, len(self.templates))
        # Not str.format, because a template may contain other braces.
        prompt = self.templates[template_number].replace(PLACEHOLDER, self.class_names[class_number])
        return prompt, class_number

    def batches(self, size: int) -> Iterator[tuple[list[str], list[int]]]:
        """Yield prompts and their class numbers in batches of up to `size`."""
        for start in range(0, len(self), size):
            rows = [self[index] for index in range(start, min(start + size, len(self)))]
            yield [text for text, _ in rows], [number for _, number in rows]
