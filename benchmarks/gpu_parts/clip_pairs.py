"""EVA-CLIP g/14 against open_clip's: encoded images and texts in bfloat16, and a training step under autocast."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast
from unittest import mock

import torch

from .bench import Bench
from .contenders import Amount, Run, compare
from .detector_models import on_device
from .gradients import with_gradients

PEER = "open_clip"
VOCABULARY, CONTEXT = 49408, 77
END = VOCABULARY - 1  # token that ends a text
TINY_VISION: dict[str, Any] = {"depth": 1, "embed_dim": 64, "num_heads": 2}
NUM_PAIRS, TINY_PAIRS = 64, 2

Batch = dict[str, torch.Tensor]


def run(bench: Bench) -> None:
    """Measure images, texts of full length, and steps of as many pairs."""
    batch = _batch(bench)
    images, texts = batch["image"].bfloat16(), batch["text"]
    builders = {PEER: partial(_theirs, bench.tiny), "ours": partial(_ours, bench.tiny)}
    amount = Amount(len(images))
    encoders = {
        "images": lambda model: model.encode_image(images),
        f"texts of {CONTEXT} tokens": lambda model: model.encode_text(texts),
    }
    for kind, encode in encoders.items():
        contenders = {name: partial(_encoder, bench, build, encode) for name, build in builders.items()}
        compare(bench, f"EVA-CLIP g/14, {len(images)} {kind}", PEER, contenders, amount)
    contenders = {PEER: partial(_their_step, bench, batch), "ours": partial(_our_step, bench, batch)}
    compare(bench, f"EVA-CLIP g/14, training step of {len(images)} pairs", PEER, contenders, amount)


def _batch(bench: Bench) -> Batch:
    """Return random images and random texts that are as long as the context."""
    number, side = (TINY_PAIRS, 28) if bench.tiny else (NUM_PAIRS, 224)
    ids = torch.randint(1, END - 1, (number, CONTEXT), device=bench.device)
    ids[:, -1] = END
    return {"image": torch.randn(number, 3, side, side, device=bench.device), "text": ids}


def _ours(tiny: bool) -> Any:
    from eva_clip import build_model

    if not tiny:
        return build_model("eva_clip_g14")
    return build_model("eva_clip_g14", visual={**TINY_VISION, "img_size": 28}, text={"width": 96, "num_layers": 1})


def _theirs(tiny: bool) -> Any:
    import open_clip
    import timm

    config, create_model = open_clip.get_model_config("EVA01-g-14"), cast("Callable[..., Any]", timm.create_model)
    if not tiny:
        return open_clip.model.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    vision, text = {**config["vision_cfg"], "image_size": 28}, {**config["text_cfg"], "width": 96, "layers": 1}

    def create_trunk(*args: Any, **options: Any) -> torch.nn.Module:
        return create_model(*args, **options, **TINY_VISION, img_size=28)

    with mock.patch.object(open_clip.timm_model.timm, "create_model", create_trunk):
        return open_clip.model.CustomTextCLIP(config["embed_dim"], vision, text)


def _encoder(bench: Bench, build: Callable[[], Any], encode: Callable[[Any], object]) -> Run:
    model = on_device(bench.device, build).eval().to(torch.bfloat16)
    return torch.inference_mode()(lambda: encode(model))


def _their_step(bench: Bench, batch: Batch) -> Run:
    from open_clip.loss import ClipLoss

    model, loss = with_gradients(on_device(bench.device, lambda: _theirs(bench.tiny)).train()), ClipLoss()

    def step() -> None:
        with torch.autocast(bench.device, torch.bfloat16):
            loss(*model(batch["image"], batch["text"])).backward()

    return step


def _our_step(bench: Bench, batch: Batch) -> Run:
    model = with_gradients(on_device(bench.device, lambda: _ours(bench.tiny)).train())

    def step() -> None:
        with torch.autocast(bench.device, torch.bfloat16):
            loss = model(batch)["loss_contrastive"]
        loss.backward()

    return step
