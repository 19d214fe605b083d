"""The symmetric contrastive loss over the pairs of all processes, in memory that grows with their number only."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eva_backbone.errors import InputError

from .feature_exchange import first_own, gather, log_sum_exp, mean, scatter_sum


def contrastive_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor,
    *,
    chunk_size: int = 2048,
    max_logit_scale: float | None = None,
) -> Tensor:
    """Cross-entropy of each image against all texts and of each text against all images, averaged over both.

    Every process calls it with equally many pairs and gets the mean loss of its own ones, whose negatives are the
    pairs of all processes. The mean over processes is the loss of the whole batch, and gradients of parameters averaged
    over processes, as DDP and FSDP do, are those of one process that holds the whole batch. That mean of the returned
    loss, times one factor, is what must be differentiated. Taking a batch in parts (gradient accumulation) is another
    matter: negatives come from the same part only.

    Logits exist `chunk_size` x `chunk_size` at a time, forward and backward. Both passes compute in float32 or better,
    under autocast too.

    Args:
        image_features: of this process's images, L2-normalised [B, D].
        text_features: of their texts [B, D].
        logit_scale: what cosines are multiplied by, one element.
        chunk_size: side of the square of logits in memory.
        max_logit_scale: larger scales count as this one. They get only the gradient that lowers them, so that the scale
            finds back. CLIP's convention is 100; None: no limit.

    Returns:
        Scalar.

    Raises:
        InputError: features that are not pairs, or a limit or chunk of 0 or less.
    """
    if image_features.ndim != 2 or image_features.shape != text_features.shape or len(image_features) == 0:
        raise InputError(
            f"image features {list(image_features.shape)} and text features {list(text_features.shape)} are no pairs; "
            "give two tensors [B, D] of the same shape."
        )
    if chunk_size < 1 or (max_logit_scale is not None and max_logit_scale <= 0):
        raise InputError(f"chunk_size={chunk_size} and max_logit_scale={max_logit_scale} must be above 0.")
    dtype = torch.promote_types(torch.promote_types(image_features.dtype, text_features.dtype), torch.float32)
    with torch.autocast(image_features.device.type, enabled=False):
        return _ContrastiveLoss.apply(
            image_features.to(dtype),
            text_features.to(dtype),
            logit_scale.to(dtype).reshape(()),
            chunk_size,
            max_logit_scale,
        )


class _ContrastiveLoss(torch.autograd.Function):
    """Tiles of logits between own images and all texts serve both directions.

    A tile's rows belong to own images. Its columns are parts of columns whose other rows are with other processes:
    their log-sum-exps are added up, a vector, and so are the gradients of the texts, each of which goes to its owner.

    All logits are taken relative to that of their own pair. Where those are far above the others, float32 would round
    a log-sum-exp of size 100 to 1e-5, and the small gradients that are left with it.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, texts: Tensor, scale: Tensor, chunk_size: int, max_scale: float | None
    ) -> Tensor:
        limited = scale if max_scale is None else scale.clamp(max=max_scale)
        scaled, all_texts = images * limited, gather(texts)
        pairs = (scaled * texts).sum(1)
        all_pairs = gather(pairs)
        image_log_sums, text_log_sums = torch.full_like(pairs, -torch.inf), torch.full_like(all_pairs, -torch.inf)
        for rows, columns, offset in _tiles(len(images), len(all_texts), chunk_size):
            logits = _logits(scaled[rows], all_texts[columns], pairs[rows], offset)
            for log_sums, relative, dim in (
                (image_log_sums[rows], logits - pairs[rows, None], 1),
                (text_log_sums[columns], logits - all_pairs[columns], 0),
            ):
                torch.logaddexp(log_sums, relative.logsumexp(dim), out=log_sums)
        text_log_sums = log_sum_exp(text_log_sums)
        ctx.save_for_backward(images, all_texts, scale, limited, pairs, all_pairs, image_log_sums, text_log_sums)
        ctx.chunk_size, ctx.has_limit = chunk_size, max_scale is not None
        first = first_own(len(texts))
        return (image_log_sums + text_log_sums[first : first + len(texts)]).mean() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        images, all_texts, scale, limited, pairs, all_pairs, image_log_sums, text_log_sums = ctx.saved_tensors
        wants_images, wants_texts, wants_scale = ctx.needs_input_grad[:3]
        scaled = images * limited
        grad_images = torch.zeros_like(images) if wants_images or wants_scale else None
        grad_texts = torch.zeros_like(all_texts) if wants_texts else None
        for rows, columns, offset in _tiles(len(images), len(all_texts), ctx.chunk_size):
            logits = _logits(scaled[rows], all_texts[columns], pairs[rows], offset)
            grad_logits = (logits - pairs[rows, None]).sub_(image_log_sums[rows, None]).exp_()
            grad_logits += logits.sub_(all_pairs[columns]).sub_(text_log_sums[columns]).exp_()
            if _crosses(grad_logits, offset):
                grad_logits.diagonal(offset).sub_(2)
            if grad_images is not None:
                grad_images[rows].addmm_(grad_logits, all_texts[columns])
            if grad_texts is not None:
                grad_texts[columns].addmm_(grad_logits.T, images[rows])
        factor = grad_output / (2 * len(images))
        grad_scale = None
        if grad_texts is not None:
            grad_texts = scatter_sum(grad_texts) * (factor * limited)
        if wants_scale:
            grad_scale = (grad_images * images).sum() * factor
            if ctx.has_limit:
                grad_scale = _limited_gradient(grad_scale, scale, limited)
        return grad_images * (factor * limited) if wants_images else None, grad_texts, grad_scale, None, None


def _tiles(num_rows: int, num_columns: int, chunk_size: int) -> Iterator[tuple[slice, slice, int]]:
    """Rows and columns of each tile, and the diagonal of the tile on which the own pairs would be."""
    first = first_own(num_rows)
    for column in range(0, num_columns, chunk_size):
        for row in range(0, num_rows, chunk_size):
            yield slice(row, row + chunk_size), slice(column, column + chunk_size), first + row - column


def _logits(scaled_images: Tensor, texts: Tensor, pairs: Tensor, offset: int) -> Tensor:
    """A tile, in which the own pairs have the very values `pairs`."""
    logits = scaled_images @ texts.T
    if _crosses(logits, offset):
        diagonal = logits.diagonal(offset)
        diagonal.copy_(pairs[max(-offset, 0) :][: len(diagonal)])
    return logits


def _crosses(tile: Tensor, offset: int) -> bool:
    return -tile.shape[0] < offset < tile.shape[1]


def _limited_gradient(gradient: Tensor, scale: Tensor, limited: Tensor) -> Tensor:
    """A scale above the limit may only fall. That is decided by the mean over processes, which all of them get."""
    return torch.where(scale <= limited, gradient, mean(gradient).clamp(min=0))
