"""The table of published weight files, which commands accept by name; every task has a part of it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from eva_backbone.errors import InputError
from eva_engine.recipe_files import RecipeFile, recipe_files
from eva_engine.tasks import all_tasks


@dataclass(frozen=True)
class PublishedFile:
    """A weight file that the authors of a model have published on the Hugging Face Hub.

    Attributes:
        file: Path of the file in the repository.
        repository: The repository, OWNER/NAME.
        licence: Licence that the repository states.
        size: Size that the repository states, such as "4.3 GB"; "" if unknown.
        sha256: SHA-256 that the repository states, in hexadecimal digits; "" if unknown.
    """

    file: str
    repository: str
    licence: str
    size: str = ""
    sha256: str = ""

    @property
    def name(self) -> str:
        """Name that commands take: that of the file without its suffix."""
        return PurePosixPath(self.file).stem

    @cached_property
    def evaluating_recipes(self) -> Sequence[RecipeFile]:
        """The recipes that evaluate the file."""
        return self._recipes("evaluate")

    @cached_property
    def starting_recipes(self) -> Sequence[RecipeFile]:
        """The recipes whose training starts from the file."""
        return self._recipes("init")

    @property
    def recipe(self) -> RecipeFile | None:
        """The recipe that evaluates the file, of several the one that most others are variants of; None if unclear."""
        ranked = []
        for recipe in self.evaluating_recipes:
            ranked.append((sum(recipe.is_base_of(other) for other in self.evaluating_recipes), recipe))
        most = max((number for number, _ in ranked), default=0)
        bases = [recipe for number, recipe in ranked if number == most]
        return bases[0] if len(bases) == 1 else None

    def _recipes(self, use: str) -> list[RecipeFile]:
        found = []
        for recipe in recipe_files():
            if self.name in [PurePosixPath(name).stem for name in recipe.published.get(use, [])]:
                found.append(recipe)
        return found


def all_published() -> dict[str, PublishedFile]:
    """Return the published files of all tasks by their names."""
    files: dict[str, PublishedFile] = {}
    for task in all_tasks():
        files |= {file.name: file for file in task.load("published_weights") or ()}
    return files


def find_published(name: str) -> PublishedFile:
    """Return the published file called `name`.

    Raises:
        InputError: There is none; the message offers the nearest name.
    """
    files = all_published()
    if name in files:
        return files[name]
    by_lower_case = {other.lower(): other for other in files}
    longer = [other for other in by_lower_case if other.startswith(name.lower())]
    nearest = difflib.get_close_matches(name.lower(), longer or by_lower_case, n=1, cutoff=0.3)
    advice = f"did you mean {by_lower_case[nearest[0]]}? " if nearest else ""
    raise InputError(
        f"{name} is neither a file nor the name of published weights; {advice}python -m tools weights lists the names"
    )
