"""Memory plans as text."""

import shlex
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate

from .advice import Advice, Change
from .planner import MemoryPlan
from .rank_table import RankRow
from .summary import MemorySummary

GB = 10**9
_STATE = {
    "weights": "weights",
    "optimizer": "optimizer state",
    "average": "moving average",
    "extra_modules": "frozen teacher",
    "gradients": "gradients (kept until the last micro-batch)",
    "buckets": "gradient buckets between GPUs",
}


def describe_plan(plan: MemoryPlan, reserve: int) -> str:
    """Format the components of the peak and the peak of every phase of a step."""
    lines = []
    for name, text in _STATE.items():
        num_bytes = getattr(plan.persistent, name)
        if num_bytes:
            lines.append((text, num_bytes))
    top = max(plan.phase_peaks, key=plan.phase_peaks.__getitem__)
    lines.append((f"activations and gradients at the peak ({top})", plan.peak - plan.persistent.total))
    lines.append(("peak", plan.peak))
    if reserve:
        lines.append(("reserve: CUDA context, workspaces, fragmentation (assumed)", reserve))
    if plan.persistent.host:
        lines.append(("in the memory of the CPU", plan.persistent.host))
    rows = [(text, _gb(num_bytes)) for text, num_bytes in lines]
    table = tabulate(rows, ("per GPU", "GB"), stralign="right")
    peaks = ", ".join(f"{phase} {num_bytes / GB:.1f}" for phase, num_bytes in plan.phase_peaks.items())
    return f"{plan.num_samples} {plan.sample} at a time\n\n{table}\n\npeak of each phase of a step, GB: {peaks}"


def describe_lr(cfg: DictConfig, recipe: DictConfig) -> str:
    """Return a sentence on whether learning rates follow the batch of `cfg`; `recipe` is the file without changes."""
    batch, own = (OmegaConf.select(c, "dataloader.train.total_batch_size") for c in (cfg, recipe))
    base = cfg.train.lr_batch_size
    if base:
        return f"learning rates: x {batch / base:.3g}, for a batch of {batch} instead of {base} (train.lr_batch_size)"
    if batch == own:
        return f"learning rates: those of the recipe, which has this batch ({batch})"
    return (
        f"learning rates: not scaled, although the batch is {batch} instead of {own}; train.lr_batch_size={own} "
        f"multiplies them by {batch / own:.3g}"
    )


def describe_resolutions(plans: Sequence[MemoryPlan], reserve: int, memory: int) -> str:
    """Format one line per resolution."""
    rows = []
    for plan in plans:
        persistent, with_reserve = plan.persistent.total, plan.peak + reserve
        fits = "yes" if with_reserve <= memory else "no"
        rows.append(
            (plan.side, plan.num_samples, _gb(persistent), _gb(plan.peak - persistent), _gb(with_reserve), fits)
        )
    headers = ("pixels", "at a time", "persistent GB", "activations, gradients GB", "with reserve GB", "fits")
    return tabulate(rows, headers, disable_numparse=True, stralign="right")


def describe_ranks(rows: Sequence[RankRow]) -> str:
    """Format one line per number of processes."""
    cells = []
    for row in rows:
        line = [str(row.num_ranks)]
        for plan in row.plans:
            line += [_gb(plan.persistent.total), _gb(plan.peak)]
        cells.append([*line, _gb(row.host)])
    headers = ("ranks", "DDP state", "DDP peak", "FSDP2 state", "FSDP2 peak", "+ offload state", "peak", "CPU")
    return tabulate(cells, headers, disable_numparse=True, stralign="right")


def describe_advice(advice: Advice, reserve: int) -> Iterator[str]:
    """Yield lines with overrides that can be pasted into the command."""
    if not advice.steps:
        yield "no known change would lower the peak"
        return
    yield "Make all of these changes, in this order:" if len(advice.steps) > 1 else "Change:"
    for step in advice.steps:
        yield _change_line(step, reserve)
    if advice.alternatives:
        yield "Instead of the last one, one of these would suffice:"
        for change in advice.alternatives:
            yield _change_line(change, reserve)
    together = " ".join(map(shlex.quote, advice.overrides))
    yield f"Together:\n  {together}" if advice.fits else f"All of them are not enough:\n  {together}"


def describe_summary(summary: MemorySummary, reserve: int) -> str:
    """Format a table of one row."""
    peaks = (summary.full, summary.lora, summary.frozen, summary.inference)
    cells = ["-" if peak is None else f"{(peak + reserve) / GB:.1f}" for peak in peaks]
    headers = ("parameters", "all trained", "LoRA", "backbone frozen", "inference")
    row = (f"{summary.num_parameters:,}", *cells)
    return tabulate([row], headers, disable_numparse=True, stralign="right")


def _change_line(change: Change, reserve: int) -> str:
    overrides = " ".join(map(shlex.quote, change.overrides))
    return f"  {_gb(change.plan.peak + reserve):>6} GB  {overrides}   ({change.cost})"


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / GB:.2f}"
