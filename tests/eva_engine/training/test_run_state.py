"""The state of a run, through a file and back."""

import io

import pytest
import torch
from linear_trainer import batches, make_trainer, weights
from timm.utils import ModelEmaV3

from eva_backbone.errors import InputError
from eva_engine.training import run_state
from eva_engine.training.run_state import RunState, read_state


def make_run(data, optimizer=torch.optim.AdamW, **settings):
    trainer = make_trainer(data, dtype="float16")
    trainer.optimizer = optimizer(trainer.model.parameters(), **{"lr": 0.1, **settings})
    trainer.precision.scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=2)
    trainer.ema = ModelEmaV3(trainer.model, decay=0.5)
    return trainer, RunState(trainer.model, trainer, seed=3)


def through_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_run_in_two_pieces_equals_one(optimizer):
    data = batches(8, bad=[2])
    uninterrupted, uninterrupted_state = make_run(data, optimizer)
    uninterrupted.train(0, 8)

    first, first_state = make_run(data[:4], optimizer)
    first.train(0, 4)
    saved = through_file(first_state.state_dict())
    assert (saved["iteration"], saved["seed"]) == (3, 3)

    second, second_state = make_run(data[4:], optimizer)
    second.model.load_state_dict(saved["model"])
    second_state.load_state_dict(saved)
    assert second.non_finite.num_skipped == 1
    second.train(4, 8)
    assert torch.equal(weights(second), weights(uninterrupted))
    for name, value in uninterrupted.ema.module.state_dict().items():
        assert torch.equal(second.ema.module.state_dict()[name], value)
    assert second.precision.scaler.state_dict() == uninterrupted.precision.scaler.state_dict()
    assert second.precision.scaler.get_scale() > 256
    assert torch.equal(
        second_state.state_dict()["random"]["0"]["torch"], uninterrupted_state.state_dict()["random"]["0"]["torch"]
    )


def test_settings_of_the_optimizer_are_the_recipes():
    first, state = make_run(batches(2))
    first.train(0, 2)
    first.optimizer.param_groups[0]["lr"] = 7.0  # as a schedule leaves it
    saved = state.state_dict()
    second, second_state = make_run([], lr=0.01, weight_decay=0.3)
    second_state.load_state_dict(saved)
    group = second.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.3)
    assert second.optimizer.state_dict()["state"][0]["step"] == 2


def test_parameter_without_a_gradient_has_no_moments():
    def with_unused(data):
        trainer = make_trainer(data)
        trainer.model.unused = torch.nn.Linear(2, 1)
        trainer.optimizer = torch.optim.AdamW(trainer.model.parameters())
        return trainer, RunState(trainer.model, trainer, seed=3)

    first, state = with_unused(batches(2))
    first.train(0, 2)
    second, second_state = with_unused(batches(1))
    second_state.load_state_dict(through_file(state.state_dict()))
    second.train(2, 3)
    assert second.optimizer.state_dict()["state"][0]["step"] == 3
    assert not second.optimizer.state[second.model.unused.weight]


EDITS = {
    "iteration is text": lambda state: state.update(iteration="thirty"),
    "iteration below zero": lambda state: state.update(iteration=-5),
    "iteration of a century": lambda state: state.update(iteration=10**11),
    "iteration is true": lambda state: state.update(iteration=True),
    "seed is text": lambda state: state.update(seed="x"),
    "seed of 33 bits": lambda state: state.update(seed=2**32),
    "model is a list": lambda state: state.update(model=[1]),
    "weight is text": lambda state: state["model"].update({"weight": "x"}),
    "optimizer is text": lambda state: state.update(optimizer="x"),
    "no groups": lambda state: state["optimizer"].update(param_groups=3),
    "moment of another shape": lambda state: first_moments(state).update(exp_avg=torch.ones(1)),
    "moment is text": lambda state: first_moments(state).update(exp_avg="x"),
    "steps below zero": lambda state: first_moments(state).update(step=torch.tensor(-2.0)),
    "steps not finite": lambda state: first_moments(state).update(step=torch.tensor(float("nan"))),
    "steps are text": lambda state: first_moments(state).update(step="x"),
    "scale is text": lambda state: state["scaler"].update(scale="x"),
    "scale below zero": lambda state: state["scaler"].update(scale=-1.0),
    "random is a list": lambda state: state.update(random=[1]),
    "random numbers are text": lambda state: state["random"]["0"]["python"].update(numbers="x"),
    "random numbers are few": lambda state: state["random"]["0"]["numpy"].update(keys=torch.ones(3)),
    "torch's state is cut": lambda state: state["random"]["0"].update(torch=torch.ones(3, dtype=torch.uint8)),
    "average is a number": lambda state: state.update(ema=3),
    "average of another shape": lambda state: state["ema"].update({next(iter(state["ema"])): torch.ones(3, 3, 3)}),
    "count is text": lambda state: state["non_finite"].update(num_skipped="x"),
    "an entry is missing": lambda state: state.pop("scaler"),
}


def first_moments(state):
    return next(iter(state["optimizer"]["state"].values()))


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_state_is_one_sentence(edit, tmp_path):
    first, state = make_run(batches(2))
    first.train(0, 2)
    saved = through_file(state.state_dict())
    EDITS[edit](saved)
    torch.save(saved, tmp_path / "model.pth")
    _, second_state = make_run([])
    with pytest.raises(InputError) as caught:
        second_state.load_state_dict(read_state(tmp_path / "model.pth"))
    assert "\n" not in str(caught.value)


def test_out_of_memory_is_not_reported_as_an_error_of_the_checkpoint(monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    _, state = make_run([])
    saved = state.state_dict()
    monkeypatch.setattr(run_state, "set_optimizer_state_dict", fail)
    with pytest.raises(torch.OutOfMemoryError):
        state.load_state_dict(saved)


def test_checkpoint_of_another_program_is_refused(tmp_path):
    torch.save({"model": {}, "optimizer": {}, "scheduler": {}, "iteration": 3}, tmp_path / "model_0000003.pth")
    with pytest.raises(InputError, match=r"it has no entry scaler, seed, random, non_finite; give it as train\.init"):
        run_state.read_state(tmp_path / "model_0000003.pth")


@pytest.mark.parametrize("missing", ["ema", "scaler", "optimizer", "non_finite"])
def test_state_of_another_recipe_is_refused(missing):
    first, state = make_run(batches(1))
    first.train(0, 1)
    saved = state.state_dict()
    del saved[missing]
    _, other = make_run([])
    with pytest.raises(InputError, match=r"does not fit this run.*resume with the config that wrote it"):
        other.load_state_dict(saved)
