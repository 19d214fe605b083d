"""Four training steps of a small classifier, replicated or sharded, in one process or in two."""

import json
from pathlib import Path
from unittest.mock import patch

import torch
from detectron2.utils import comm
from omegaconf import OmegaConf
from torch import nn

from eva_backbone import create_backbone
from eva_engine import compilation
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.training.adaptation import adapt_model
from eva_engine.training.distributed import launch, parallelize
from eva_engine.training.precision import Precision
from eva_engine.training.run_state import RunState
from eva_engine.training.trainer import Trainer

LORA = {"rank": 2, "targets": r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"}


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = create_backbone("tiny", img_size=56)
        self.head = nn.Linear(self.net.embed_dim, 10)

    def forward(self, batch):
        images, labels = batch
        return {"loss": nn.functional.cross_entropy(self.head(self.net(images).mean(1)).float(), labels)}


def batches(rank, world_size):
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        images, labels = torch.randn(8, 3, 56, 56, generator=generator), torch.randint(10, (8,), generator=generator)
        yield images[rank::world_size], labels[rank::world_size]


def train(changes):
    """Return [loss, gradient norm] of each step, and the size of the weights and optimizer state in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train = OmegaConf.merge(TRAIN_SETTINGS, {"device": "cpu"}, changes)
    model = Classifier()
    adapt_model(model, train)
    parallel_model = parallelize(model, train)
    if train.compile:
        with patch.object(compilation, "BACKEND", "aot_eager"):  # which needs no C++ compiler
            compilation.compile_blocks(model, "train.compile=True")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    own_batches = list(batches(comm.get_rank(), comm.get_world_size()))
    precision = Precision(train.amp, "cpu")
    trainer = Trainer(
        parallel_model,
        own_batches,
        optimizer,
        precision,
        accumulation_steps=train.accumulation_steps,
        clip_grad_norm=1.0,
    )
    steps = []

    def record_step():
        steps.append([trainer.storage.latest()[name][0] for name in ("total_loss", "grad_norm")])

    trainer.after_step = record_step
    trainer.train(0, 4)
    state = RunState(model, trainer, seed=0)
    state.load_state_dict(state.state_dict())
    held = sum(local(p).numel() for p in model.parameters())
    held += sum(local(v).numel() for values in optimizer.state.values() for v in values.values() if v.dim())
    return steps, held


def local(tensor):
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def train_all(cases, output):
    results = [train(changes) for changes in cases]
    if comm.is_main_process():
        Path(output).write_text(json.dumps(results))


def run_in_two_processes(cases, output):
    launch(train_all, (cases, str(output)), processes_per_machine=2, dist_url="auto", device="cpu")
    return json.loads(Path(output).read_text())
