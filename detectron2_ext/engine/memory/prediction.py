"""The predicted peak memory of one GPU in a recipe's training step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from .made_batch import made_batch
from .planned_model import model_on_meta, model_with_real_heads
from .resolution import training_side
from .sharding import Residents, residents
from .state import state_bytes
from .step import BackboneBytes, FakeBackbone, HeadBytes, Maps, run_heads

# Objects per image that the heads get: as many as may become foreground proposals in the published recipes.
NUM_OBJECTS = 128


@dataclass(frozen=True)
class Prediction:
    """Bytes on one GPU.

    Attributes:
        residents: what stays from step to step.
        moments: the most in each part of a step, `residents` included.
        images: images that one GPU takes at a time.
        side: of these images, in pixels.
    """

    residents: Residents
    moments: dict[str, int]
    images: int
    side: int

    @property
    def peak(self) -> int:
        """The most over the whole step."""
        return max(self.moments.values())


class Predictor:
    """Predicts recipes one after another; what heads of the same kind need is found out once, in about half a minute.

    Args:
        num_ranks: processes, one per GPU, unless `predict` is told another number.
        num_objects: objects per image.
        tell: called with a line about what takes long.
    """

    def __init__(
        self, num_ranks: int = 1, num_objects: int = NUM_OBJECTS, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.num_ranks, self.num_objects, self.tell = num_ranks, num_objects, tell
        self._heads: dict[str, HeadBytes] = {}
        self._done: dict[str, tuple[BackboneBytes, HeadBytes]] = {}

    def predict(self, cfg: DictConfig, num_ranks: int | None = None) -> Prediction:
        """Peak of a training step of `cfg`.

        Raises:
            InputError: a model or settings that cannot be planned.
        """
        ranks = num_ranks or self.num_ranks
        side = training_side(cfg)
        images = images_at_once(cfg, ranks)
        meta = model_on_meta(cfg)
        state = state_bytes(cfg, meta)
        held = residents(cfg, meta, state, ranks)
        backbone, heads = self._activations(cfg, side, images)

        fresh = held.fresh_gradients > 0 and cfg.train.parallel != "fsdp"
        heads_backward = heads.backward_with_gradients if fresh else heads.backward
        backbone_backward = heads.gradients + backbone.backward_with_gradients if fresh else backbone.backward
        beyond = {
            "backbone forward": held.forward + backbone.forward,
            "heads forward": held.forward + backbone.kept + backbone.cached + heads.forward,
            "heads backward": held.backward + backbone.kept + heads_backward,
            "backbone backward": held.backward + backbone_backward,
            "optimizer step": held.fresh_gradients + held.step,
        }
        return Prediction(held, {moment: held.total + num for moment, num in beyond.items()}, images, side)

    def _activations(self, cfg: DictConfig, side: int, images: int) -> tuple[BackboneBytes, HeadBytes]:
        device_type, dtype = torch.device(cfg.train.device).type, autocast_dtype(cfg)
        split = cfg.train.parallel == "fsdp"
        adapted = [str(cfg.train[key]) for key in ("freeze", "lora", "activation_checkpointing")]
        key = str([cfg.model, adapted, device_type, dtype, split, side, images])
        if key not in self._done:
            model = model_with_real_heads(cfg)
            self.tell(f"{side} px: backbone, {images} image(s) at a time, {dtype or 'float32'}")
            backbone, maps = FakeBackbone(model, device_type, dtype, low_precision_blocks=split).run(images, side)
            self._done[key] = backbone, self._one_image_heads(cfg, model, maps, side).times(images)
        return self._done[key]

    def _one_image_heads(self, cfg: DictConfig, model: nn.Module, maps: Maps, side: int) -> HeadBytes:
        parts = [str(cfg.model[part]) for part in cfg.model if part != "backbone"]
        trained = [p.requires_grad for name, p in model.named_parameters() if not name.startswith("backbone.")]
        likes = [(name, x.shape[1:], x.dtype, x.requires_grad) for name, x in maps.items()]
        key = str([parts, trained, likes, side])
        if key not in self._heads:
            self.tell(f"{side} px: proposal network and heads, one image, really run on the CPU")
            batch = made_batch(1, side, self.num_objects, _num_classes(cfg), _mask_format(cfg))
            self._heads[key] = run_heads(model, batch, maps, autocast_dtype(cfg))
        return self._heads[key]


def images_at_once(cfg: DictConfig, num_ranks: int) -> int:
    """Images that one of `num_ranks` GPUs takes in one forward pass."""
    total = OmegaConf.select(cfg, "dataloader.train.total_batch_size") or 1
    return max(1, -(-total // (num_ranks * cfg.train.accumulation_steps)))


def autocast_dtype(cfg: DictConfig) -> torch.dtype | None:
    """bfloat16, which stands for float16 too, of which the CPU lacks some operations; None without autocast."""
    on_cuda = torch.device(cfg.train.device).type == "cuda"
    return torch.bfloat16 if cfg.train.amp.enabled and on_cuda else None


def _num_classes(cfg: DictConfig) -> int:
    return OmegaConf.select(cfg, "model.roi_heads.num_classes") or OmegaConf.select(cfg, "model.num_classes") or 80


def _mask_format(cfg: DictConfig) -> str | None:
    mapper = OmegaConf.select(cfg, "dataloader.train.mapper") or {}
    if OmegaConf.select(cfg, "model.roi_heads.mask_head") is None:
        return None
    return mapper.get("instance_mask_format", "polygon")
