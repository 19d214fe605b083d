"""A sharded model in reduced precision: evaluated in the run, saved with its buffers, and resumed."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyCall
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from omegaconf import OmegaConf
from sharded_runs import Classifier, batches
from torch import nn
from torch.distributed.tensor import DTensor

from eva_engine.checkpoint import RunCheckpoints
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.training.distributed import launch, parallelize
from eva_engine.training.evaluation import evaluate
from eva_engine.training.precision import Precision
from eva_engine.training.run_state import RunState
from eva_engine.training.trainer import Trainer


class NormalisedClassifier(Classifier):
    """With statistics as buffers, and a layer that nothing uses; outputs are logits in evaluation."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(10)
        self.unused = nn.Linear(4, 2)

    def forward(self, batch):
        images, labels = batch
        logits = self.norm(self.head(self.net(images).mean(1)).float())
        return {"loss": nn.functional.cross_entropy(logits, labels)} if self.training else logits


class Losses(DatasetEvaluator):
    def reset(self):
        self.losses = []

    def process(self, inputs, outputs):
        self.losses.append(nn.functional.cross_entropy(outputs.float(), inputs[1]).item())

    def evaluate(self):
        losses = [loss for part in comm.all_gather(self.losses) for loss in part]
        return {"test": {"loss": sum(losses) / len(losses)}}


def own_batches():
    return list(batches(comm.get_rank(), comm.get_world_size()))


def make_run(cfg, seed):
    torch.manual_seed(seed)
    model = NormalisedClassifier()
    parallel_model = parallelize(model, cfg.train)
    trainer = Trainer(
        parallel_model, own_batches(), torch.optim.AdamW(model.parameters()), Precision(cfg.train.amp, "cpu")
    )
    return trainer, RunState(model, trainer, seed)


def full(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def evaluate_save_and_resume(folder):
    torch.set_num_threads(1)
    amp = {"enabled": True, "dtype": "bfloat16"}
    changes = {"device": "cpu", "parallel": "fsdp", "amp": amp, "output_dir": folder}
    cfg = OmegaConf.create({"train": {**TRAIN_SETTINGS, **changes}}, flags={"allow_objects": True})
    cfg.dataloader = {"test": LazyCall(own_batches)(), "evaluator": LazyCall(Losses)()}
    trainer, state = make_run(cfg, 0)
    trainer.train(0, 2)
    found = evaluate(cfg, trainer.model)
    weights = {name: full(value) for name, value in trainer.model.state_dict().items()}
    reference = NormalisedClassifier()
    reference.load_state_dict(weights)
    expected = evaluate(cfg, reference)

    checkpoints = RunCheckpoints(folder, max_to_keep=1)
    checkpoints.save("model_0000001", state.state_dict())
    second, second_state = make_run(cfg, 1)
    second_state.load_state_dict(checkpoints.load(checkpoints.find_last(), second_state.state_dict()))
    weights = comm.all_gather(weights)[0]  # statistics differ between processes, and those of rank 0 are saved
    for name, value in second.model.state_dict().items():
        assert torch.equal(full(value), weights[name]), name
    second.train(2, 3)
    if comm.is_main_process():
        Path(folder, "found.json").write_text(json.dumps([found["test"]["loss"], expected["test"]["loss"]]))


def test_sharded_model_is_evaluated_saved_and_resumed(tmp_path):
    launch(evaluate_save_and_resume, (str(tmp_path),), processes_per_machine=2, dist_url="auto", device="cpu")
    found, expected = json.loads((tmp_path / "found.json").read_text())
    assert found == pytest.approx(expected, rel=1e-2)  # a few roundings of bfloat16, 2^-8 each
