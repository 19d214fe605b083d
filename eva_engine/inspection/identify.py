"""Which model the weights of a file are, and which recipes take them, best first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from eva_backbone.errors import InputError

from .compatibility import Candidates, Fit
from .other_uses import OtherUse, find_other_uses
from .own_config import read_own_config
from .recipes import Recipe, find_recipes, num_variants
from .summary import WeightFileSummary


@dataclass(frozen=True)
class Identification:
    """The outcome for one file.

    same: recipes of just this model, for evaluation and prediction; starts: recipes of others that training can start
    from it with; nearest: what comes closest where neither has any; note: why the config beside the file was not used.
    """

    outline: WeightFileSummary
    same: Sequence[Fit] = ()
    starts: Sequence[Fit] = ()
    nearest: Fit | None = None
    other_uses: Sequence[OtherUse] = ()
    note: str = ""

    @property
    def best(self) -> Fit | None:
        """The first recipe of the same model, else the first that can start from the file; None if there is none."""
        return next(iter([*self.same, *self.starts]), None)

    @property
    def is_identified(self) -> bool:
        """Whether any recipe or other use was found."""
        return self.best is not None or bool(self.other_uses)


@dataclass
class Identifier:
    """Identifies any number of files; recipes are read, and their models built, once for all of them.

    given: the only recipe to try; None: the one of the run that wrote the file, else those of the project, else those
    of its demos.
    """

    given: Recipe | None = None

    @cached_property
    def _recipes(self) -> Candidates:
        return Candidates(find_recipes())

    @cached_property
    def _demos(self) -> Candidates:
        return Candidates(find_recipes(demos=True))

    @cached_property
    def _given(self) -> Candidates:
        return Candidates([] if self.given is None else [self.given])

    def identify(self, outline: WeightFileSummary) -> Identification:
        """Try the recipes on the weights of `outline`.

        Raises:
            InputError: the given recipe cannot be built.
        """
        if self.given is not None:
            return _rank(outline, self._given)
        own, note = self._own(outline.path)
        if own is not None:
            found = _rank(outline, Candidates([own]))
            if found.best is not None:
                return found
            note = f"{own.path} beside the file is of another model"
        found = _rank(outline, self._recipes, note)
        if found.best is not None:
            return found
        of_demo = _rank(outline, self._demos, note)
        if of_demo.best is not None:
            return of_demo
        return replace(found, other_uses=find_other_uses(outline.weights, outline.path, self._recipes.recipes))

    def _own(self, path: Path) -> tuple[Recipe | None, str]:
        try:
            return read_own_config(path, lambda: [*self._recipes.recipes, *self._demos.recipes]), ""
        except InputError as error:
            return None, str(error)


def _rank(outline: WeightFileSummary, candidates: Candidates, note: str = "") -> Identification:
    fits = candidates.fits(outline.weights, outline.path)
    same = [fit for fit in fits if fit.is_same_model]
    starts = [fit for fit in fits if not fit.is_same_model and not fit.problem]
    recipes = candidates.recipes

    def last(fit: Fit) -> tuple:
        """Before the recipes that are made from it."""
        return -num_variants(fit.recipe, recipes), fit.recipe.path

    def by_use(fit: Fit) -> tuple:
        return not fit.is_exact, not fit.recipe.evaluates(outline.path), not fit.recipe.has_evaluation, *last(fit)

    def by_loss(fit: Fit) -> tuple:
        changes = len(fit.report.resized) + len(fit.report.skipped)
        return not fit.recipe.starts_from(outline.path), -round(fit.coverage, 2), changes, *last(fit)

    nearest = max(fits, key=lambda fit: (fit.coverage, fit.num_common), default=None)
    return Identification(outline, sorted(same, key=by_use), sorted(starts, key=by_loss), nearest, note=note)
