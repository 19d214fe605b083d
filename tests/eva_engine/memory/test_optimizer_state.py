"""Weights, gradients and optimizer state: unsharded, and on one of several GPUs."""

import pytest
from small_recipe import small_recipe

from eva_engine.memory.optimizer_state import state_bytes
from eva_engine.memory.persistent_memory import persistent_memory
from eva_engine.memory.planned_model import model_on_meta


def plan(*overrides, ranks=1, momentum=None):
    """Plan with AdamW, or with SGD if a momentum is given."""
    cfg = small_recipe(*overrides)
    if momentum is not None:
        del cfg.optimizer.betas
        cfg.optimizer.update(_target_="torch.optim.SGD", momentum=momentum)
    model = model_on_meta(cfg)
    state = state_bytes(cfg, model)
    return model, state, persistent_memory(cfg, model, state, ranks)


def trained_bytes(model):
    return sum(4 * p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("overrides", "momentum", "copies"),
    [([], None, 2), ([], 0.0, 0), ([], 0.9, 1), (['train.freeze=["backbone.*"]'], None, 2)],
)
def test_optimizer_state_has_its_copies_of_the_trained_weights(overrides, momentum, copies):
    model, state, _ = plan(*overrides, momentum=momentum)
    assert state.gradients == trained_bytes(model)
    assert state.optimizer == pytest.approx(copies * state.gradients, rel=0.01)
    assert state.weights >= state.gradients


def test_freezing_and_lora_leave_less_to_train():
    whole, frozen, lora = (plan(*o)[1] for o in ((), ['train.freeze=["backbone.*"]'], ["train.lora.rank=2"]))
    assert frozen.gradients < lora.gradients < whole.gradients
    assert frozen.weights == whole.weights < lora.weights


def test_ddp_adds_buckets_where_there_are_others():
    _, state, alone = plan()
    _, _, one_of_two = plan(ranks=2)
    assert (alone.buckets, one_of_two.buckets) == (0, state.gradients)
    _, _, views = plan("train.ddp.gradient_as_bucket_view=True", ranks=2)
    assert (views.buckets, views.fresh_gradients, views.gradients) == (state.gradients, 0, 0)


def test_gradients_wait_for_the_other_parts():
    _, state, held = plan("train.accumulation_steps=2")
    assert (held.gradients, held.fresh_gradients) == (state.gradients, 0)


def test_average_is_one_more_copy():
    _, state, held = plan("train.ema.enabled=True")
    assert held.average == state.weights


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_fsdp_splits_weights_gradients_and_optimizer(ranks):
    model, state, held = plan("train.parallel=fsdp", ranks=ranks)
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    # First dimensions that do not divide are filled up.
    most = 1 / ranks + (0 if ranks == 1 else 0.15)
    assert state.weights / ranks <= held.weights - buffers + buffers / ranks <= state.weights * most + buffers
    assert state.optimizer / ranks <= held.optimizer * 1.001 <= state.optimizer * most * 1.002
    assert held.backward > held.forward > 0
    assert held.buckets == held.host == 0


def test_offload_leaves_nothing_but_buffers_on_the_gpu():
    model, state, held = plan("train.parallel=fsdp", "train.fsdp.cpu_offload=True", ranks=2)
    assert held.total == sum(b.numel() * b.element_size() for b in model.buffers())
    assert held.host >= (state.weights + state.gradients + state.optimizer) / 2 - held.total
