"""Hold the names and shapes in a published file against the model of its recipe."""

import logging
from pathlib import Path

from eva_backbone.errors import InputError

from .table import PublishedFile

logger = logging.getLogger(__name__)


def check_model(published: PublishedFile, file: Path) -> None:
    """Check that a file holds the model of a recipe that evaluates it, or weights that such training starts from.

    Without a recipe, and without the packages that recipes need, only a warning is logged.

    Args:
        published: What the file should be.
        file: The file.

    Raises:
        InputError: It cannot be read, or holds another model.
    """
    evaluating = published.recipe or next(iter(published.evaluating_recipes), None)
    recipes = published.starting_recipes if evaluating is None else [evaluating]
    if not recipes:
        logger.warning("Names and shapes in %s are not checked: no recipe uses it", published.name)
        return
    try:
        from eva_engine.config import load_config
        from eva_engine.inspection import read_summary
        from eva_engine.inspection.compatibility import Candidates
        from eva_engine.inspection.recipes import Recipe
    except ModuleNotFoundError as error:
        logger.warning("Names and shapes in %s are not checked, which needs %s", published.name, error.name)
        return
    summary = read_summary(file)
    problems = []
    for recipe in recipes:
        candidates = Candidates([Recipe(recipe.path, load_config(str(recipe.file)), recipe)])
        found = candidates.compare(summary.weights, file)[0]
        if found.is_same_model or (evaluating is None and not found.problem):
            return
        report = found.report
        counts = {"missing": report.missing, "of another shape": report.skipped, "unknown": report.unused}
        difference = ", ".join(f"{len(names)} entries {word}" for word, names in counts.items() if names)
        problems.append(f"it is not the model of {recipe.path} ({found.problem.rstrip('.') or difference})")
    raise InputError(problems[0])
