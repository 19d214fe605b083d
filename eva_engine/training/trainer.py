"""The training loop: forward pass, backward pass and update of each iteration."""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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
    """Detectron2's trainer interface (hooks, `storage`, `iter`) with gradient accumulation, clipping and skipped steps.

    Every process of the run has a trainer, and all of them take the same decisions: to skip a step, and to stop.

    Args:
        model: Module that is called with a batch and returns a dict of losses: the DDP wrapper or FSDP module if any.
        loader: Iterable of the batches of this process, one for each iteration.
        optimizer: Optimizer of the model's parameters.
        precision: Precision of the forward and backward passes.
        accumulation_steps: Number of micro-batches of an iteration. Gradients are averaged over micro-batches, as they
            are over processes: for losses that are means over images, the result is that of the full batch.
        clip_grad_norm: Largest total norm of the gradients; 0 does not clip.
        max_skipped_steps: Number of steps in a row that may be skipped because of non-finite values.
        ema: Moving average with an `update(model)` method, called after each step.
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
        # A hook may set `stop_requested` in any process; after the iteration `stopping` is the same in all of them.
        self.stop_requested = self.stopping = False
        self.stopped_by_metric = False  # whether `stopping` is due to early stopping
        self.num_finished = 0  # iterations whose update is complete
        self.random_state: dict[str, Any] = {}  # after the last finished iteration
        self.updating = False  # whether an update has begun and is not complete
        self._batches: Iterator[Any] | None = None

    def train(self, start_iter: int, max_iter: int) -> None:
        """Run iterations `start_iter` to `max_iter` - 1, or fewer if `stopping` becomes true."""
        self.iter = self.start_iter = self.num_finished = start_iter
        self.max_iter = max_iter
        self.model.train()
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    if self.stopping:
                        break
                    self.before_step()
                    self.run_step()
                    self.num_finished = self.iter + 1
                    self.random_state = get_random_state()
                    self.after_step()
            finally:
                # This ends the workers of the loader. If the garbage collector did it later, it could delete their
                # queues first and then wait for the workers.
                self._batches = None
                self.after_train()

    def before_train(self) -> None:
        """Save the random state before any hook draws random numbers."""
        self.random_state = get_random_state()
        super().before_train()

    def run_step(self) -> None:
        """Run one iteration: compute losses and gradients, then take or skip the step in all processes."""
        if self._batches is None:
            self._batches = iter(self.loader)
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start

        losses = self._forward_backward(batch)
        scaler = self.precision.scaler
        # Clipping compares the norm with a limit, so it needs the true size of the gradients.
        scaler.unscale_(self.optimizer)
        norm = _clip_gradients(self.optimizer, self.clip_grad_norm)
        reduced = self._reduce(losses, count_images(batch))
        self.stopping = reduced.num_stop_requests > 0
        # In float16 a non-finite gradient first means that the loss scale is too large: the scaler then leaves the step
        # out and lowers the scale. Only below a scale of 1 is it the gradient itself that is not finite.
        scale_can_be_lowered = scaler.is_enabled() and scaler.get_scale() >= 1
        if reduced.num_non_finite or not (norm.isfinite() or scale_can_be_lowered):
            self.non_finite.skip(self.iter, reduced.mean_losses, batch, self.model)
            scaler.update()
        else:
            self._update()
        self.optimizer.zero_grad(set_to_none=True)
        self._record(reduced, data_time, norm)

    def _forward_backward(self, batch: Any) -> dict[str, Tensor]:
        """Compute the gradients of the mean loss over the micro-batches; return the mean of each loss."""
        means: dict[str, Tensor] = {}
        for number, micro_batch in enumerate(split_batch(batch, self.accumulation_steps), start=1):
            with self._gradient_sync(is_last=number == self.accumulation_steps):
                with self.precision.autocast():
                    losses = self.model(micro_batch)
                losses = {"total_loss": losses} if isinstance(losses, Tensor) else losses
                total = sum(losses.values()) / self.accumulation_steps
                self.precision.scaler.scale(total).backward()
            for name, value in losses.items():
                contribution = value.detach().float() / self.accumulation_steps
                means[name] = means[name] + contribution if name in means else contribution
        return means

    def _gradient_sync(self, *, is_last: bool) -> AbstractContextManager:
        """Context of a micro-batch: DDP averages gradients over processes only after the last one.

        FSDP does so after every micro-batch; otherwise each process would have to hold the gradients of all weights.
        """
        if isinstance(self.model, DistributedDataParallel) and not is_last:
            return self.model.no_sync()
        return nullcontext()

    def _reduce(self, losses: dict[str, Tensor], num_images: int) -> "_Reduced":
        """Combine the values of all processes in a single all-reduce."""
        names = sorted(losses)
        own = torch.stack([losses[name] for name in names])
        counts = [float(num_images), float(not own.isfinite().all()), float(self.stop_requested)]
        wide = torch.float32 if own.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        values = torch.cat([own.to(wide), own.new_tensor(counts, dtype=wide)])
        world_size = comm.get_world_size()
        if world_size > 1:
            torch.distributed.all_reduce(values)
        *sums, images, non_finite, stop_requests = values.tolist()
        means = {name: total / world_size for name, total in zip(names, sums, strict=True)}
        return _Reduced(means, int(images), int(non_finite), int(stop_requests))

    def _update(self) -> None:
        scaler = self.precision.scaler
        scale = scaler.get_scale()
        self.updating = True
        scaler.step(self.optimizer)
        scaler.update()
        # The scaler lowers the scale exactly when it leaves the step out.
        if self.ema is not None and scaler.get_scale() >= scale:
            is_wrapped = isinstance(self.model, DistributedDataParallel)
            self.ema.update(self.model.module if is_wrapped else self.model)
        self.updating = False
        self.non_finite.reset()

    def _record(self, reduced: "_Reduced", data_time: float, norm: Tensor) -> None:
        losses = reduced.mean_losses
        scalars = {**losses, "total_loss": sum(losses.values()), "data_time": data_time, "images": reduced.num_images}
        self.storage.put_scalars(**scalars, grad_norm=norm.item(), skipped_steps=self.non_finite.num_skipped)


@dataclass
class _Reduced:
    """Values of an iteration that are the same in all processes.

    Attributes:
        mean_losses: Mean of each loss over the processes.
        num_images: Images of all processes.
        num_non_finite: Number of processes with a non-finite loss.
        num_stop_requests: Number of processes that were asked to stop.
    """

    mean_losses: dict[str, float]
    num_images: int
    num_non_finite: int
    num_stop_requests: int


def _clip_gradients(optimizer: torch.optim.Optimizer, max_norm: float) -> Tensor:
    """Scale the gradients down to a total norm of `max_norm`, unless it is 0; return the norm before that."""
    parameters = []
    for group in optimizer.param_groups:
        parameters += [parameter for parameter in group["params"] if parameter.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters], foreach=None)
    if hasattr(norm, "full_tensor"):  # sharded gradients: the norm over all processes
        norm = norm.full_tensor()
    if max_norm > 0:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm
