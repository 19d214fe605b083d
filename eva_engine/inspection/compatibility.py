"""How well a weight file and the models of recipes go together, by what loading would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import LoadReport
from eva_engine.checkpoint.matching import check_same_model, compare_weights

from .recipes import Recipe

_POSITIONS = ("pos_embed", "rel_pos_h", "rel_pos_w")  # of another image size, the model is still the same
_LEFT_OVER = 0.01  # share of a file's entries that may be left over from how it was made


@dataclass(frozen=True)
class Fit:
    """What loading the weights into the recipe's model would do; `problem`: why a run would refuse it, "" if not."""

    recipe: Recipe
    model: nn.Module
    report: LoadReport
    problem: str

    @property
    def coverage(self) -> float:
        """Twice the entries that both have, as a share of the file's and the model's: 1 for all of both."""
        report = self.report
        common = len(report.used) + len(report.resized)
        return 2 * common / (2 * common + 2 * len(report.skipped) + len(report.missing) + len(report.unused))

    @property
    def num_common(self) -> int:
        """Entries of one name, whatever their shapes."""
        return len(self.report.used) + len(self.report.resized) + len(self.report.skipped)

    @property
    def is_same_model(self) -> bool:
        """Every entry of the model gets a value, resized at most for another image size, and nearly all are needed."""
        report = self.report
        complete = not (self.problem or report.missing or report.skipped)
        resized = all(change.name.rpartition(".")[2] in _POSITIONS for change in report.resized)
        return complete and resized and len(report.unused) <= _LEFT_OVER * len(report.used)

    @property
    def is_exact(self) -> bool:
        """Every entry is used as it is, and none is left."""
        return self.is_same_model and not self.report.resized and not self.report.unused


class Candidates:
    """The recipes that weights are tried on; a model that several have is built once, without memory."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.recipes = recipes
        self._models: dict[str, nn.Module] = {}

    def fits(self, weights: Mapping[str, Tensor], path: Path) -> list[Fit]:
        """A fit for each recipe; `weights` are those of an `WeightFileSummary` of `path`."""
        outcomes: dict[str, tuple[nn.Module, LoadReport, str]] = {}
        fits = []
        for recipe in self.recipes:
            key = recipe.model_key
            if key not in outcomes:
                if key not in self._models:
                    self._models[key] = recipe.build_on_meta()
                outcomes[key] = _fit(self._models[key], weights, path)
            fits.append(Fit(recipe, *outcomes[key]))
        return fits


def _fit(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> tuple[nn.Module, LoadReport, str]:
    report = LoadReport(path, used=(), missing=list(model.state_dict()), unused=list(weights))
    try:
        _, report = compare_weights(model, weights, path)
        check_same_model(model, weights, report)
    except InputError as error:
        return model, report, str(error)
    return model, report, ""
