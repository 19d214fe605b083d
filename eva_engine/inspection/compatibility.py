"""How well a weight file fits the models of recipes, by what loading it would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import LoadReport
from eva_engine.checkpoint.matching import check_same_model, compare_weights

from .recipes import Recipe

# Tables that are resized for another image size of the same model.
_POSITIONS = (
    "pos_embed",
    "rel_pos_h",
    "rel_pos_w",
    "relative_position_bias_table",
    "relative_position_bias_for_high",
    "relative_position_bias_for_width",
)
_MAX_UNUSED = 0.01  # fraction of a file's entries that may be left over from its training


@dataclass(frozen=True)
class Compatibility:
    """What loading the weights into the recipe's model would do.

    Attributes:
        recipe: The recipe.
        model: Its model, on the meta device.
        report: The outcome of loading.
        problem: Why a run would refuse the weights; "" if it would not.
    """

    recipe: Recipe
    model: nn.Module
    report: LoadReport
    problem: str

    @property
    def coverage(self) -> float:
        """Entries in common as a fraction of those of file and model (Dice coefficient): 1 if they are the same."""
        report = self.report
        common = len(report.used) + len(report.resized)
        return 2 * common / (2 * common + 2 * len(report.skipped) + len(report.missing) + len(report.unused))

    @property
    def num_common(self) -> int:
        """Number of entries with the same name, whatever their shapes."""
        return len(self.report.used) + len(self.report.resized) + len(self.report.skipped)

    @property
    def is_same_model(self) -> bool:
        """Whether all entries of the model get a value, resized for another image size at most, and most are used."""
        report = self.report
        complete = not (self.problem or report.missing or report.skipped)
        resized = all(change.name.rpartition(".")[2] in _POSITIONS for change in report.resized)
        return complete and resized and len(report.unused) <= _MAX_UNUSED * len(report.used)

    @property
    def is_exact(self) -> bool:
        """Whether every entry of the file is used without a change."""
        return self.is_same_model and not self.report.resized and not self.report.unused


class Candidates:
    """The recipes to compare weights with; a model that several recipes share is built once, on the meta device."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.recipes = recipes
        self._models: dict[str, nn.Module] = {}

    def compare(self, weights: Mapping[str, Tensor], path: Path) -> list[Compatibility]:
        """Compare the weights of the file `path` with each recipe."""
        outcomes: dict[str, tuple[nn.Module, LoadReport, str]] = {}
        found = []
        for recipe in self.recipes:
            key = recipe.model_key
            if key not in outcomes:
                if key not in self._models:
                    self._models[key] = recipe.build_on_meta()
                outcomes[key] = _try_loading(self._models[key], weights, path)
            found.append(Compatibility(recipe, *outcomes[key]))
        return found


def _try_loading(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> tuple[nn.Module, LoadReport, str]:
    report = LoadReport(path, used=(), missing=list(model.state_dict()), unused=list(weights))
    try:
        _, report = compare_weights(model, weights, path)
        check_same_model(model, weights, report)
    except InputError as error:
        return model, report, str(error)
    return model, report, ""
