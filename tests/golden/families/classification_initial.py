"""Initial weights, and the stochastic depth rate of every block."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from eva_classification import Classifier
from eva_classification.mim import MaskedImageModel

from ..case import GoldenCase, family

# Small if the case does not give a size: smaller samples allow for a larger difference.
MODELS = {
    "finetune": lambda **options: Classifier(10, img_size=56, **options),
    "mim": lambda **options: MaskedImageModel(teacher_dim=32, img_size=56, **options),
}


@family("init_stats")
def check_initial_weights(case: GoldenCase) -> None:
    dim, depth = (int(re.search(rf"{word} (\d+)", case.spec["note"])[1]) for word in ("dim", "depth"))
    for kind, expected in case.spec["stats"].items():
        model = MODELS[kind](embed_dim=dim, depth=depth, num_heads=4)
        assert {name for name, _ in model.named_parameters() if not re.match(r"blocks\.[1-9]", name)} <= set(expected)
        compare_statistics(kind, [model], expected)


def compare_statistics(
    kind: str, models: Sequence[nn.Module], expected: Mapping[str, tuple[float, float, float]]
) -> None:
    """Compare standard deviation, largest absolute value and mean of parameters with those of another draw.

    The largest value is averaged over `models`: it varies much between draws of few values.
    """
    draws = [dict(model.named_parameters()) for model in models]
    assert set(expected) <= set(draws[0])
    for name, (std, largest, mean) in expected.items():
        values = torch.stack([parameters[name].detach().double().flatten() for parameters in draws])
        # six standard errors of the difference of two samples of this size
        spread = 6 * std / values.shape[1] ** 0.5
        assert abs(values.std().item() - std) <= spread, (kind, name, values.std().item(), std)
        assert abs(values.mean().item() - mean) <= 2**0.5 * spread, (kind, name)
        assert abs(values.abs().amax(1).mean().item() - largest) <= 0.5 * largest, (kind, name)


@family("drop_path")
def check_drop_path(case: GoldenCase) -> None:
    for name, expected in case.arrays.items():
        settings = re.fullmatch(r"rate([\d.]+)_depth(\d+)", name)
        if settings is None:
            assert name == "spec"
            continue
        with torch.device("meta"):
            model = Classifier(10, embed_dim=8, num_heads=2, depth=int(settings[2]), drop_path_rate=float(settings[1]))
        rates = [0.0 if isinstance(b.drop_path, nn.Identity) else b.drop_path.drop_prob for b in model.blocks]
        assert isinstance(model.blocks[0].drop_path, nn.Identity)
        torch.testing.assert_close(torch.tensor(rates, dtype=torch.float64), torch.from_numpy(expected), rtol=0, atol=0)
