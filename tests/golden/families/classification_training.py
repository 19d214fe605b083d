"""Training steps: the engine with layer decay, schedules, clipping, accumulation and a moving average; LARS."""

import re

import numpy as np
import torch
from detectron2.config import LazyCall
from fvcore.common.param_scheduler import StepParamScheduler
from omegaconf import OmegaConf

from eva_classification import Classifier
from eva_classification.lars import LARS
from eva_engine.training.adaptation import freeze_parameters
from eva_engine.training.hooks import ScheduleHook
from eva_engine.training.optimization import build_ema, build_optimizer, layer_decay_groups
from eva_engine.training.precision import Precision
from eva_engine.training.trainer import Trainer

from ..case import GoldenCase, family
from .classification_backbone import build_classifier, draw_entries


class RecordingTrainer(Trainer):
    def after_step(self) -> None:
        super().after_step()
        latest = self.storage.latest()
        self.recorded.append((latest["total_loss"][0], latest["grad_norm"][0]))


def build_model(spec: dict) -> Classifier:
    config, entries = spec["config"], draw_entries(spec)
    model = build_classifier(config, entries, smoothing=spec["smoothing"])
    if config.get("stop_grad_conv1"):
        freeze_parameters(model, ["patch_embed.*"])
    return model


def draw_batches(spec: dict) -> list[dict[str, torch.Tensor]]:
    """Draw one batch for each update, with `update_freq` micro-batches each."""
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    side, classes = spec["config"]["img_size"], spec["config"]["num_classes"]
    size = int(re.search(r"B=(\d+)", spec["input_rule"])[1])
    batches = []
    for _ in spec["lr_schedule"]:
        parts = []
        for _ in range(spec["update_freq"]):
            images = generator.standard_normal((size, 3, side, side)).astype(np.float32)
            parts.append((torch.from_numpy(images), torch.from_numpy(generator.integers(0, classes, size))))
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        batches.append({"image": images, "label": labels})
    return batches


def build_recipe(spec: dict) -> OmegaConf:
    """Build an optimizer with learning rate and weight decay 1, so that schedule factors are the values themselves."""
    groups = LazyCall(layer_decay_groups)(base_lr=1.0, weight_decay=1.0, decay_rate=spec["layer_decay"])
    optimizer = LazyCall(torch.optim.AdamW)(params=groups, lr=1.0, **spec["adamw"])
    return OmegaConf.create({"optimizer": optimizer}, flags={"allow_objects": True})


@family("train_3steps")
def check_steps(case: GoldenCase) -> None:
    check_training_steps(case, build_model(case.spec))


def check_training_steps(case: GoldenCase, model: Classifier) -> None:
    """Train a classifier with the weights of the case, and compare the losses and the resulting weights."""
    spec = case.spec
    ema = build_ema(OmegaConf.create({"enabled": True, "decay": spec["ema_decay"]}), model)
    optimizer = build_optimizer(build_recipe(spec), model)
    trainer = RecordingTrainer(
        model,
        draw_batches(spec),
        optimizer,
        Precision(OmegaConf.create({"enabled": False, "dtype": "float16"}), "cpu"),
        accumulation_steps=spec["update_freq"],
        clip_grad_norm=spec["clip_grad"] or 0.0,
        ema=ema,
    )
    trainer.recorded = []
    num_steps = len(spec["lr_schedule"])
    trainer.register_hooks(
        [
            ScheduleHook("lr", StepParamScheduler(num_steps, spec["lr_schedule"])),
            ScheduleHook("weight_decay", StepParamScheduler(num_steps, spec["wd_schedule"])),
        ]
    )
    trainer.train(0, num_steps)

    parts = np.reshape(spec["micro_losses_divided_by_update_freq"], (num_steps, -1))
    expected = np.stack([parts.sum(axis=1), spec["grad_norms_before_clip"]], axis=1)
    np.testing.assert_allclose(trainer.recorded, expected, rtol=1e-5)
    for prefix, norms, parameters in (
        ("p:", spec["param_norms"], dict(model.named_parameters())),
        ("ema:", spec["ema_norms"], dict(ema.module.named_parameters())),
    ):
        assert set(parameters) == set(norms)
        for name, norm in norms.items():
            np.testing.assert_allclose(parameters[name].detach().double().norm(), norm, rtol=1e-6, err_msg=name)
        compared = [name for name in case.arrays if name.startswith(prefix)]
        assert compared
        for name in compared:
            found = parameters[name.removeprefix(prefix)].detach()
            np.testing.assert_allclose(found, case.arrays[name], rtol=0, atol=1e-6, err_msg=name)


@family("lars")
def check_lars(case: GoldenCase) -> None:
    spec = case.spec
    generator = np.random.Generator(np.random.PCG64(spec["seed"]))
    shapes = {"W": case.arrays["W"].shape, "b": case.arrays["b"].shape}

    def draw() -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(generator.standard_normal(s).astype(np.float32)) for name, s in shapes.items()}

    parameters = {name: torch.nn.Parameter(value) for name, value in draw().items()}
    settings = {name: spec[name] for name in ("lr", "weight_decay", "momentum", "trust_coefficient")}
    optimizer = LARS(parameters.values(), **settings)
    for _ in range(int(re.search(r"(\d+)x", spec["input_rule"])[1])):
        for name, gradient in draw().items():
            parameters[name].grad = gradient
        optimizer.step()
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.detach(), case.arrays[name], rtol=0, atol=1e-6, err_msg=name)
