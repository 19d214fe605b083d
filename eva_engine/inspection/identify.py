"""Which model the weights of a file are, and which recipes take them, best first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.config import check_sections, load_config

from .compatibility import Candidates, Compatibility
from .other_uses import OtherUse, find_other_uses
from .recipes import Recipe, find_recipes, num_variants
from .summary import WeightFileSummary


@dataclass(frozen=True)
class Identification:
    """What was found out about one weight file.

    Attributes:
        summary: Summary of the file.
        same: Recipes of the same model, for evaluation and prediction, best first.
        starts: Recipes of other models whose training can start from the file, best first.
        nearest: The closest recipe, if there are none of either kind.
        other_uses: Uses of the weights with other code.
        note: Why the config next to the file was not used.
    """

    summary: WeightFileSummary
    same: Sequence[Compatibility] = ()
    starts: Sequence[Compatibility] = ()
    nearest: Compatibility | None = None
    other_uses: Sequence[OtherUse] = ()
    note: str = ""

    @property
    def best(self) -> Compatibility | None:
        """The best recipe of the same model, else the best that can start from the file; None if there is none."""
        return next(iter([*self.same, *self.starts]), None)

    @property
    def is_identified(self) -> bool:
        """Whether any recipe or other use was found."""
        return self.best is not None or bool(self.other_uses)


@dataclass
class Identifier:
    """Identify any number of weight files; recipes are loaded, and their models built, only once.

    Attributes:
        given: The only recipe to try; None to try the config of the run that wrote the file, then the recipes of the
            project, then those of its demos.
        trusted_recipes: Recipes whose classes and functions the config of a run may name; see `load_config`.
    """

    given: Recipe | None = None
    trusted_recipes: Sequence[str] = ()

    @cached_property
    def _recipes(self) -> Candidates:
        return Candidates(find_recipes())

    @cached_property
    def _demos(self) -> Candidates:
        return Candidates(find_recipes(demos=True))

    @cached_property
    def _given(self) -> Candidates:
        return Candidates([] if self.given is None else [self.given])

    def identify(self, summary: WeightFileSummary) -> Identification:
        """Compare the weights of a file with the recipes.

        Raises:
            InputError: The given recipe cannot be built.
        """
        if self.given is not None:
            return _rank(summary, self._given)
        own, note = self._config_of_run(summary.path)
        if own is not None:
            found = _rank(summary, Candidates([own]))
            if found.best is not None:
                return found
            note = f"{own.path} next to the file belongs to another model"
        found = _rank(summary, self._recipes, note)
        if found.best is not None:
            return found
        of_demo = _rank(summary, self._demos, note)
        if of_demo.best is not None:
            return of_demo
        return replace(found, other_uses=find_other_uses(summary.weights, summary.path, self._recipes.recipes))

    def _config_of_run(self, path: Path) -> tuple[Recipe | None, str]:
        file = path.parent / "config.yaml"
        if not file.exists():
            return None, ""
        try:
            cfg = load_config(str(file), trusted_recipes=self.trusted_recipes)
            check_sections(cfg, "model", "dataloader")
            own = Recipe(str(file), cfg)
            own.build_on_meta()
        except InputError as error:
            return None, str(error)
        return own, ""


def _rank(summary: WeightFileSummary, candidates: Candidates, note: str = "") -> Identification:
    all_found = candidates.compare(summary.weights, summary.path)
    same = [found for found in all_found if found.is_same_model]
    starts = [found for found in all_found if not found.is_same_model and not found.problem]
    recipes = candidates.recipes

    def base_first(found: Compatibility) -> tuple:
        """Sort a recipe before those that are made from it."""
        return -num_variants(found.recipe, recipes), found.recipe.path

    def by_use(found: Compatibility) -> tuple:
        evaluates = found.recipe.evaluates(summary.path)
        return not found.is_exact, not evaluates, not found.recipe.has_evaluation, *base_first(found)

    def by_loss(found: Compatibility) -> tuple:
        num_changes = len(found.report.resized) + len(found.report.skipped)
        is_meant = found.recipe.starts_from(summary.path)
        return not is_meant, -round(found.coverage, 2), num_changes, *base_first(found)

    nearest = max(all_found, key=lambda found: (found.coverage, found.num_common), default=None)
    return Identification(summary, sorted(same, key=by_use), sorted(starts, key=by_loss), nearest, note=note)
