"""Position tables resized when a checkpoint is loaded into a model of another resolution."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eva_engine.checkpoint import load_checkpoint

from ..case import GoldenCase, family

PATCH = 14


@family("posembed_")
def check_posembed(case: GoldenCase) -> None:
    spec = case.spec
    shape = (1, (spec["source"] // PATCH) ** 2 + 1, spec["dim"])
    rng = np.random.Generator(np.random.PCG64(spec["seed"]))
    table = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    if spec["input_rule"].endswith("then half"):
        table = table.half()
    model = nn.Module()
    model.pos_embed = nn.Parameter(torch.zeros(1, (spec["target"] // PATCH) ** 2 + 1, spec["dim"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pt")
        torch.save({"module": {"pos_embed": table}}, path)
        report = load_checkpoint(model, path)
    assert [change.name for change in report.resized] == ["pos_embed"]
    torch.testing.assert_close(model.pos_embed.detach(), case.tensor("pos_embed"), rtol=0, atol=1e-6)
