"""Iterations of the trainer on a model small enough to calculate by hand."""

import pytest
import torch
from linear_trainer import Model, batches, make_trainer, weights

from eva_backbone.errors import InputError


def train(data, **keywords):
    trainer = make_trainer(data, **keywords)
    trainer.train(0, len(data))
    return trainer


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
@pytest.mark.parametrize("num_micro_batches", [2, 4])
def test_accumulation_gives_the_result_of_the_full_batch(num_micro_batches, dtype):
    full, accumulated = (
        train(batches(5), dtype=dtype),
        train(batches(5), accumulation_steps=num_micro_batches, dtype=dtype),
    )
    tolerance = {None: 1e-6, "float16": 2e-3, "bfloat16": 1e-2}[dtype]
    torch.testing.assert_close(weights(accumulated), weights(full), rtol=0, atol=tolerance)
    assert accumulated.storage.latest()["total_loss"][0] == pytest.approx(
        full.storage.latest()["total_loss"][0], abs=tolerance
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_trains_almost_as_float32_does(dtype):
    torch.testing.assert_close(weights(train(batches(5), dtype=dtype)), weights(train(batches(5))), rtol=0, atol=2e-2)


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_gradients_are_clipped_to_a_common_norm(dtype):
    free = train(batches(1), dtype=dtype)
    norm = free.storage.latest()["grad_norm"][0]
    start = weights(make_trainer([]))
    clipped = train(batches(1), clip_grad_norm=norm / 4, dtype=dtype)
    assert clipped.storage.latest()["grad_norm"][0] == pytest.approx(norm, rel=1e-5)
    torch.testing.assert_close(weights(clipped) - start, (weights(free) - start) / 4, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
def test_bad_iteration_is_logged_and_changes_nothing(dtype, caplog):
    data = batches(4, bad=[1])
    trainer = train(data, dtype=dtype, accumulation_steps=2)
    assert "iteration 1: the loss loss_a is not finite on 1_0.jpg, 1_1.jpg, 1_2.jpg, 1_3.jpg" in caplog.text
    assert trainer.storage.latest()["skipped_steps"][0] == 1
    assert trainer.num_finished == 4
    without = train(data[:1] + data[2:], dtype=dtype, accumulation_steps=2)
    torch.testing.assert_close(weights(trainer), weights(without), rtol=0, atol=1e-6)


def test_the_parameter_of_a_non_finite_gradient_is_logged(caplog):
    trainer = make_trainer(batches(2))
    trainer.model.layer.bias.register_hook(lambda gradient: gradient / 0)
    before = weights(trainer)
    trainer.train(0, 2)
    assert "the gradient of layer.bias is not finite" in caplog.text
    assert torch.equal(weights(trainer), before)


def test_too_many_bad_iterations_in_a_row_stop_the_run():
    trainer = make_trainer(batches(6, bad=[0, 2, 3, 4]), max_skipped_steps=2)
    with pytest.raises(
        InputError, match=r"iteration 4: the loss loss_a is not finite on 4_0\.jpg.*max_skipped_steps=2"
    ):
        trainer.train(0, 6)
    assert trainer.num_finished == 4
    assert weights(trainer).isfinite().all()
    # A run resumed from here with changed settings starts to count again.
    assert trainer.non_finite.state_dict() == {"num_skipped": 4, "num_in_a_row": 0}


def test_scale_that_is_too_large_is_lowered_until_steps_are_taken():
    trainer = make_trainer(batches(12), dtype="float16")
    trainer.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    start = weights(trainer)
    trainer.train(0, 12)
    assert trainer.precision.scaler.get_scale() < 2**20
    assert not torch.equal(weights(trainer), start)
    assert trainer.non_finite.num_skipped == 0  # the data is not at fault


def test_the_average_is_updated_only_after_steps_that_were_taken():
    class Average:
        num_updates = 0

        def update(self, model):
            assert isinstance(model, Model)
            self.num_updates += 1

    average = Average()
    train(batches(5, bad=[1, 3]), ema=average)
    assert average.num_updates == 3


def test_batch_that_cannot_be_split_is_refused():
    with pytest.raises(InputError, match="accumulation_steps=3 cannot split the 4 images"):
        train(batches(1), accumulation_steps=3)


def test_request_to_stop_ends_the_run_behind_its_iteration():
    trainer = make_trainer(batches(5))
    stopping = iter([False, False, True])
    trainer.before_step = lambda: setattr(trainer, "stop_requested", next(stopping))
    trainer.train(0, 5)
    assert trainer.num_finished == 3
    torch.testing.assert_close(weights(trainer), weights(train(batches(3))), rtol=0, atol=0)


def test_the_loader_ends_with_the_training():
    """Its workers would otherwise live until the garbage collector comes by."""
    events = []

    class Loader:
        def __iter__(self):
            try:
                yield from batches(5)
            finally:
                events.append("loader ends")

    trainer = make_trainer(Loader())
    trainer.after_train = lambda: events.append("hooks behind the training")
    trainer.train(0, 3)
    assert events == ["loader ends", "hooks behind the training"]
