"""The files of the recipes of all installed packages, read as text: nothing in them is executed."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from eva_engine.tasks import all_tasks

# Folders with projects/: an installed package has copies of the recipes in it, a checkout has them next to it.
RECIPE_ROOTS = (Path(__file__).parent, Path(__file__).parents[1])


@dataclass(frozen=True)
class RecipeFile:
    """The file of a recipe.

    Attributes:
        path: Path that commands take.
        file: The file itself, which is not one of the working folder.
        text: Source code.
    """

    path: str
    file: Path
    text: str

    @cached_property
    def published(self) -> Mapping[str, Sequence[str]]:
        """The dictionary `published` of the recipe: published files under "init" and "evaluate"."""
        for node in ast.parse(self.text).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "published":
                return ast.literal_eval(node.value)
        return {}

    @cached_property
    def _bases(self) -> set[str | None]:
        """Names of the recipes of the same folder that this recipe imports."""
        nodes = ast.walk(ast.parse(self.text))
        return {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 1}

    def is_base_of(self, other: "RecipeFile") -> bool:
        """Return whether `other`, in the same folder, imports this recipe and changes it."""
        if Path(other.path).parent != Path(self.path).parent:
            return False
        return Path(self.path).stem in other._bases


def recipe_folders() -> list[Path]:
    """Return the folders of recipes: those of this project, then those of packages that register a task."""
    root = next(root for root in RECIPE_ROOTS if (root / "projects").is_dir())
    folders = sorted(root.glob("projects/*/configs"))
    for task in all_tasks():
        spec = find_spec(task.package) if task.recipes else None
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).parent / task.recipes)
    return folders


def recipe_files(*, demos: bool = False) -> list[RecipeFile]:
    """Return all recipes in the order of their paths, without the parts in folders called common.

    Args:
        demos: Return the recipes of the demos instead.
    """
    return [recipe for folder in recipe_folders() for recipe in _recipes_in(folder, demos)]


@cache
def _recipes_in(folder: Path, demos: bool) -> Sequence[RecipeFile]:
    return list(_read_recipes(folder, demos))


def _read_recipes(folder: Path, demos: bool) -> Iterator[RecipeFile]:
    for file in sorted(folder.glob("**/*.py")):
        inner = file.relative_to(folder).parts
        if "common" in inner or ("demo" in inner) is not demos:
            continue
        root = next((root for root in RECIPE_ROOTS if folder.parts[:-2] == (*root.parts, "projects")), None)
        path = file if root is None else file.relative_to(root)
        yield RecipeFile(str(path), file, file.read_text(encoding="utf-8"))
