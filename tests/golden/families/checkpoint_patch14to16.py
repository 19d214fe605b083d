"""The patch-14 to patch-16 conversion, run as a command on a synthetic file."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from eva_engine.commands.verbs import main

from ..case import GoldenCase, family


@family("patch14to16_")
def check_patch14to16(case: GoldenCase) -> None:
    dim, rng = case.spec["d"], np.random.Generator(np.random.PCG64(case.spec["seed"]))
    shapes = {
        "patch_embed.proj.weight": (dim, 3, 14, 14),
        "pos_embed": (1, 257, dim),
        "mask_token": (dim,),
        "patch_embed.proj.bias": (dim,),
    }
    weights = {name: torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for name, shape in shapes.items()}
    if case.spec["input_rule"].endswith("then half"):
        weights = {name: value.half() for name, value in weights.items()}
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.pt"), Path(folder, "out.pt")
        torch.save({"model": weights, "epoch": 3}, source)
        assert main(["interpolate-patch", str(source), str(output)]) == 0
        result = torch.load(output, weights_only=True)
    assert sorted(result) == case.spec["out_top_level"]
    model = result["model"]
    assert {name: [list(value.shape), str(value.dtype)] for name, value in model.items()} == case.spec["out_keys"]
    torch.testing.assert_close(model["patch_embed.proj.weight"], case.tensor("patch"), rtol=0, atol=1e-6)
    torch.testing.assert_close(model["pos_embed"].float(), case.tensor("pos"), rtol=0, atol=1e-6)
    for name in ("mask_token", "patch_embed.proj.bias"):
        assert torch.equal(model[name], weights[name])
