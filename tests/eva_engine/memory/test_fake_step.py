"""Steps on fake tensors against the same steps on real ones."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from detectron2.config import instantiate
from task_recipes import TASKS, small_task
from torch import nn
from torch.utils._pytree import tree_map_only

from eva_backbone import chunked_attention
from eva_backbone.errors import InputError
from eva_backbone.relative_position import DecomposedBias
from eva_engine.memory.fake_step import StepSettings, run_fake_step
from eva_engine.memory.planned_model import model_on_meta
from eva_engine.memory.synthetic_batch import find_synthetic_batch
from eva_engine.memory.tracker import LiveBytes, gradients_taken
from eva_engine.training.adaptation import adapt_model

ON_CPU = StepSettings("cpu", None, low_precision_blocks=False, num_ranks=1)


def real_peaks(cfg):
    model = instantiate(cfg.model)
    adapt_model(model, cfg.train)
    made = find_synthetic_batch(cfg, model, 3)
    batch = made.make(3)
    beside = [x for part in made.extra_modules(model) for x in (*part.parameters(), *part.buffers())]
    tracker = LiveBytes([*model.parameters(), *model.buffers(), *beside])
    with gradients_taken(model.parameters(), tracker), tracker:
        batch = tree_map_only(torch.Tensor, lambda x: x.clone() if x.is_floating_point() else x, batch)
        loss = sum(model(batch).values())
        forward = tracker.peak
        tracker.start_peak()
        loss.backward()
    return forward, tracker.peak, tracker.peak_with_gradients


@pytest.mark.parametrize("task", TASKS)
def test_peaks_are_those_of_real_tensors(task):
    cfg = small_task(task)
    real = real_peaks(cfg)
    model = model_on_meta(cfg)
    made = find_synthetic_batch(cfg, model, 3)
    forward, backward = run_fake_step(model, made.make(3), ON_CPU, made.extra_modules(model))
    assert (forward.peak, backward.peak, backward.peak_with_gradients) == pytest.approx(real, rel=0.03)


@pytest.mark.parametrize("task", TASKS)
def test_blocks_that_run_again_are_computed_as_in_the_forward_pass(task):
    """On CUDA autocast widens norms, in sharded blocks of lower precision too; PyTorch compares both passes."""
    cfg = small_task(task, "train.activation_checkpointing=torch")
    model = model_on_meta(cfg)
    made = find_synthetic_batch(cfg, model, 3)
    on_cuda = StepSettings("cuda", torch.bfloat16, low_precision_blocks=True, num_ranks=1)
    forward, backward = run_fake_step(model, made.make(3), on_cuda, made.extra_modules(model))
    assert backward.peak > 0 < forward.peak


def test_two_tiles_of_an_attention_take_the_memory_of_all(monkeypatch):
    """One tile as large as the whole step would hide a wrong count."""
    query = torch.randn(2, 3, 64, 8, requires_grad=True)
    bias = DecomposedBias(torch.randn(2, 3, 64, 8, requires_grad=True), torch.randn(2, 3, 64, 8, requires_grad=True))
    monkeypatch.setattr(chunked_attention, "CHUNK_BYTES", 2**12)
    num_tiles, peaks = [], []
    compute = chunked_attention._probabilities
    monkeypatch.setattr(chunked_attention, "_probabilities", lambda *args: num_tiles.append(1) or compute(*args))
    for context in (nullcontext, chunked_attention.only_memory_counts):
        num_tiles.clear()
        tracker = LiveBytes([query, *bias])
        with tracker, context():
            output = chunked_attention.chunked_attention(query, query, query, 0.5, bias)
            forward = tracker.peak
            tracker.start_peak()
            output.sum().backward()
            peaks.append((forward, tracker.peak, len(num_tiles)))
        del output
        query.grad = bias[0].grad = bias[1].grad = None
    assert peaks[0][:2] == peaks[1][:2]
    assert [number for *_, number in peaks] == [2 * 24, 2 * 2]


def test_the_contrastive_loss_holds_features_of_all_processes():
    cfg = small_task("clip")

    def peak(num_ranks):
        model = model_on_meta(cfg)
        batch = find_synthetic_batch(cfg, model).make(8)
        return run_fake_step(model, batch, replace(ON_CPU, num_ranks=num_ranks))[1].peak

    # Texts of all of them, and their gradients.
    assert peak(16384) > 2 * 16384 * 8 * cfg.model.output_dim * 4 > peak(1)
    assert not torch.distributed.is_initialized()


class Undecided(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, batch):
        return (self.weight * batch).sum() if batch.sum() > 0 else self.weight.sum()


def test_a_step_that_needs_values_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"a training step of Undecided .* cannot be run without values"):
        run_fake_step(Undecided(), torch.ones(4), ON_CPU)
