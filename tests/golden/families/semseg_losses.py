"""Matching and losses of one prediction, with the random points of the spec."""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch

from eva_semseg.losses import SetCriterion
from eva_semseg.matcher import hungarian_match, match_cost
from eva_semseg.segmentation_targets import Target

from ..case import GoldenCase, family
from ..listed_draws import assert_near, draw_inputs

COSTS = {"class": "cls", "mask": "mask", "dice": "dice"}


def seeded_rand(seed: int) -> Callable[..., torch.Tensor]:
    """Return a stand-in for torch.rand that draws from one stream in the order of the calls."""
    generator = np.random.Generator(np.random.PCG64(seed))

    def rand(*size: int, device: torch.device) -> torch.Tensor:
        return torch.from_numpy(generator.random(size).astype(np.float32)).to(device)

    return rand


@family("match_loss")
def check_match_loss(case: GoldenCase) -> None:
    spec, arrays = case.spec, case.arrays
    inputs = draw_inputs(spec["inputs"], spec["seed_inputs"], spec.get("input_sha256"))
    class_logits, mask_logits = (inputs[name].requires_grad_() for name in ("cls", "mask"))
    targets = [
        Target(case.tensor(f"gt_labels{i}"), case.tensor(f"gt_masks{i}").float())
        for i in range(len(spec["gts_per_image"]))
    ]
    weights = {f"{ours}_weight": float(spec["weights"][name]) for ours, name in COSTS.items()}

    rand = seeded_rand(spec["seed_rand"])
    for i, target in enumerate(targets):
        with patch("torch.rand", rand):
            cost = match_cost(class_logits[i], mask_logits[i], target, num_points=spec["num_points"], **weights)
        if len(target.classes):
            assert_near(cost.classes, arrays[f"img{i}_cost_cls"], f"class cost {i}")
            assert_near(cost.masks, arrays[f"img{i}_cost_mask"], f"mask cost {i}")
            assert_near(cost.dice, arrays[f"img{i}_cost_dice"], f"dice cost {i}")
            queries, masks = hungarian_match([cost.total()])[0]
            found = torch.zeros(len(class_logits[i]), dtype=torch.int64)
            found[queries] = masks + 1
            assert found.tolist() == arrays[f"img{i}_gt_inds"].tolist()

    loss = SetCriterion(no_object_weight=spec["weights"]["no_object"], num_points=spec["num_points"], **weights)
    with patch("torch.rand", seeded_rand(spec["seed_rand"])):
        losses = loss([(class_logits, mask_logits)], targets)
    for name, value in losses.items():
        assert_near(value.reshape(arrays[name].shape), arrays[name], name)
    sum(losses.values()).backward()
    assert_near(class_logits.grad, arrays["grad_cls"], "grad_cls")
    assert_near(mask_logits.grad, arrays["grad_mask"], "grad_mask")
