"""One iteration after another: forward, backward, update."""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .micro_batches import count_images, split_batch
from .non_finite import NonFiniteSteps
from .precision import Precision
from .random_state import get_random_state


class Trainer(TrainerBase):
    """Detectron2's trainer interface (hooks, `storage`, `iter`) with accumulation, clipping and skipping of bad steps.

    Every process of the run calls it, and all take the same decisions: whether a step is skipped and whether to stop.

    Args:
        model: called with a batch, returns a dict of losses; the DDP wrapper or FSDP module where there is one.
        loader: yields this process's batches of an iteration.
        optimizer: over the model's parameters.
        precision: of the forward and backward pass.
        accumulation_steps: parts that an iteration's batch is taken in. Gradients are averaged over parts as they are
            over processes: for losses that are means over images the result is that of the whole batch.
        clip_grad_norm: largest norm of all gradients together, 0 for no limit.
        max_skipped_steps: steps in a row that may be skipped because something was not finite.
        ema: moving average with an `update(model)` method, updated after each step.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        *,
        accumulation_steps: int = 1,
        clip_grad_norm: float = 0.0,
        max_skipped_steps: int = 10,
        ema: Any = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loader = loader
        self.optimizer = optimizer
        self.precision = precision
        self.accumulation_steps = accumulation_steps
        self.clip_grad_norm = clip_grad_norm
        self.ema = ema
        self.non_finite = NonFiniteSteps(max_skipped_steps)
        self.device = next(model.parameters()).device
        # A hook sets `stop_requested` in any process; after the iteration `stopping` is the same in all.
        self.stop_requested = self.stopping = False
        # Iterations whose update is complete, the random state behind the last one, and whether one is under way.
        self.num_finished = 0
        self.random_state: dict[str, Any] = {}
        self.updating = False
        self._batches: Iterator[Any] | None = None

    def train(self, start_iter: int, max_iter: int) -> None:
        """Iterations `start_iter` to `max_iter` - 1, fewer when `stopping` becomes true."""
        self.iter = self.start_iter = self.num_finished = start_iter
        self.max_iter = max_iter
        self.model.train()
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.num_finished = self.iter + 1
                    self.random_state = get_random_state()
                    self.after_step()
                    if self.stopping:
                        break
            finally:
                # Ends the loader's workers. The garbage collector would take their queues away first, and then wait.
                self._batches = None
                self.after_train()

    def before_train(self) -> None:
        """Note the random state, before any hook draws from it."""
        self.random_state = get_random_state()
        super().before_train()

    def run_step(self) -> None:
        """One iteration: a batch in parts, its losses, and the step that all processes agree on."""
        if self._batches is None:
            self._batches = iter(self.loader)
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start

        losses = self._forward_backward(batch)
        # Clipping divides by the norm: it needs the gradients' true size.
        self.precision.scaler.unscale_(self.optimizer)
        norm = _clip(self.optimizer, self.clip_grad_norm)
        means, num_images, num_bad, num_stops = self._agree(losses, count_images(batch))
        self.stopping = num_stops > 0
        overflow = self.precision.scaler.is_enabled() and self.precision.scaler.get_scale() >= 1
        if num_bad or not (norm.isfinite() or overflow):
            self.non_finite.skip(self.iter, means, batch, self.model)
            self.precision.scaler.update()
        else:
            self._update()
        self.optimizer.zero_grad(set_to_none=True)
        self._record(means, num_images, data_time, norm)

    def _forward_backward(self, batch: Any) -> dict[str, Tensor]:
        """Gradients of the mean loss over the parts; the losses, averaged likewise."""
        totals: dict[str, Tensor] = {}
        for number, part in enumerate(split_batch(batch, self.accumulation_steps), start=1):
            with self._gradient_exchange(number == self.accumulation_steps):
                with self.precision.autocast():
                    losses = self.model(part)
                losses = {"total_loss": losses} if isinstance(losses, Tensor) else losses
                total = sum(losses.values()) / self.accumulation_steps
                self.precision.scaler.scale(total).backward()
            for name, value in losses.items():
                share = value.detach().float() / self.accumulation_steps
                totals[name] = totals[name] + share if name in totals else share
        return totals

    def _gradient_exchange(self, wanted: bool) -> AbstractContextManager:
        """Whether the next backward pass sums gradients over processes: once an iteration is enough.

        A split model exchanges after every part, or each process would hold the gradients of all weights.
        """
        return self.model.no_sync() if isinstance(self.model, DistributedDataParallel) and not wanted else nullcontext()

    def _agree(self, losses: dict[str, Tensor], num_images: int) -> tuple[dict[str, float], int, int, int]:
        """Mean of each loss, sum of images, processes whose loss is not finite, processes that were asked to stop."""
        names = sorted(losses)
        own = torch.stack([losses[name] for name in names])
        flags = [float(num_images), float(not own.isfinite().all()), float(self.stop_requested)]
        values = torch.cat([own.double(), own.new_tensor(flags, dtype=torch.float64)])
        world_size = comm.get_world_size()
        if world_size > 1:
            torch.distributed.all_reduce(values)
        *sums, num_images, num_bad, num_stops = values.tolist()
        means = {name: total / world_size for name, total in zip(names, sums, strict=True)}
        return means, int(num_images), int(num_bad), int(num_stops)

    def _update(self) -> None:
        scaler = self.precision.scaler
        scale = scaler.get_scale()
        self.updating = True
        scaler.step(self.optimizer)
        scaler.update()
        if self.ema is not None and scaler.get_scale() >= scale:  # a lowered scale means that the step was left out
            self.ema.update(_unwrapped(self.model))
        self.updating = False
        self.non_finite.reset()

    def _record(self, losses: dict[str, float], num_images: int, data_time: float, norm: Tensor) -> None:
        scalars = {**losses, "total_loss": sum(losses.values()), "data_time": data_time, "images": num_images}
        self.storage.put_scalars(**scalars, grad_norm=norm.item(), skipped_steps=self.non_finite.num_skipped)


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model


def _clip(optimizer: torch.optim.Optimizer, max_norm: float) -> Tensor:
    """Norm of all gradients over all processes before they are scaled down to `max_norm` (0: they are left)."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters], foreach=None)
    if hasattr(norm, "full_tensor"):
        norm = norm.full_tensor()
    if max_norm > 0:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm
