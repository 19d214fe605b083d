"""Live bytes against PyTorch's own tracker, and of fake tensors against real ones."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.checkpoint import checkpoint

from eva_engine.memory.tracker import LiveBytes


class Mlp(nn.Module):
    def __init__(self, recomputed):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 128)) for _ in range(3)
        )
        self.recomputed = recomputed

    def forward(self, x):
        for layer in self.layers:
            x = x + (checkpoint(layer, x, use_reentrant=False) if self.recomputed else layer(x))
        return x.square().mean()


def step(model):
    loss = model(torch.ones(512, 128))
    loss.backward()


def our_peaks(model):
    tracker = LiveBytes(model.parameters())
    hooks = [p.register_post_accumulate_grad_hook(tracker.take_gradient) for p in model.parameters()]
    with tracker:
        step(model)
    for hook in hooks:
        hook.remove()
    return tracker.peak, tracker.peak_with_gradients


@pytest.mark.parametrize("recomputed", [False, True])
def test_peak_is_that_of_pytorchs_tracker(recomputed):
    model = Mlp(recomputed)
    weights = sum(p.numel() * 4 for p in model.parameters())
    oracle = MemTracker()
    oracle.track_external(model)
    with oracle:
        step(model)
    theirs = oracle.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] - weights
    model.zero_grad(set_to_none=True)
    # Theirs rounds every tensor up to 512 bytes.
    assert our_peaks(model)[1] == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize("recomputed", [False, True])
def test_fake_tensors_take_as_much_as_real_ones(recomputed):
    real = our_peaks(Mlp(recomputed))
    with FakeTensorMode():
        assert our_peaks(Mlp(recomputed)) == real


def test_recomputation_lowers_the_peak():
    assert our_peaks(Mlp(True))[0] < 0.7 * our_peaks(Mlp(False))[0]


def test_freed_tensors_and_views_count_no_more():
    with LiveBytes() as tracker:
        x = torch.empty(1000)
        y = x.view(10, 100)[2:]
        assert tracker.live == 4000
        del x
        assert tracker.live == 4000
        del y
        assert tracker.live == 0
    assert tracker.peak == 4000
