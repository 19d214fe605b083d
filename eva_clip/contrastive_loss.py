"""The symmetric contrastive loss over the pairs of all processes, in memory that grows linearly with their number.

With logits l[i, j] = scale * image[i] @ text[j] of N pairs, the loss is the mean over i of

    image to text: logsumexp_j(l[i, j]) - l[i, i]        text to image: logsumexp_j(l[j, i]) - l[i, i]

averaged over both directions. All N x N logits would need N**2 memory, so both passes compute them in square tiles.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from eva_backbone.errors import InputError

from .collectives import (
    all_gather_rows,
    all_reduce_logsumexp,
    all_reduce_mean,
    local_row_offset,
    reduce_scatter_rows,
)


def contrastive_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor,
    *,
    chunk_size: int = 2048,
    max_logit_scale: float | None = None,
) -> Tensor:
    """Compute the cross-entropy of each image over all texts and of each text over all images, averaged over both.

    Every process passes the same number of pairs and gets the mean loss of its own pairs; the negatives are the pairs
    of all processes. The mean over processes is the loss of the whole batch. Gradients of parameters that are averaged
    over processes, as DDP and FSDP do, equal those of a single process with the whole batch. For this the backward pass
    includes the loss terms of other processes, and it assumes that every process differentiates the returned loss times
    the same factor. Gradient accumulation is not equivalent to a larger batch: negatives come from the same micro-batch
    only.

    At most `chunk_size` x `chunk_size` logits exist at a time, in the forward and the backward pass. Both passes
    compute in float32 or float64, under autocast too.

    Args:
        image_features: L2-normalised features of this process's images, [B, D].
        text_features: L2-normalised features of their texts, [B, D].
        logit_scale: Factor of the cosines, a tensor with one element.
        chunk_size: Side of a tile of logits.
        max_logit_scale: Upper limit of the logit scale. A scale above it is clamped, and receives only gradients that
            lower it, so that it can return below the limit. CLIP uses 100; None for no limit.

    Returns:
        Scalar loss.

    Raises:
        InputError: The features are not pairs, or the limit or the chunk size is not positive.
    """
    if image_features.ndim != 2 or image_features.shape != text_features.shape or len(image_features) == 0:
        raise InputError(
            f"image features {list(image_features.shape)} and text features {list(text_features.shape)} do not form "
            "pairs; give two tensors [B, D] of the same shape."
        )
    if chunk_size < 1 or (max_logit_scale is not None and max_logit_scale <= 0):
        raise InputError(f"chunk_size={chunk_size} and max_logit_scale={max_logit_scale} must be above 0.")
    # Half precision has too few digits for logits of up to 100; float64 features keep their precision.
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
    """The loss with a hand-written backward pass, which recomputes the logits tile by tile.

    Each process computes the logits of its own images with the texts of all processes. A row of these logits is
    complete: it holds all that the image-to-text loss of an image needs. A column is not, since the other rows of a
    text belong to other processes. Therefore only per-text vectors are exchanged: log-sum-exps in the forward pass, and
    in the backward pass the texts' gradients, each of which is summed at the process that owns the text. The logits
    themselves serve both directions and never leave their process.

    All logits are taken relative to that of the positive pair of their row or column. Once the positive logits are far
    above the others, a log-sum-exp of about 100 would be rounded to 1e-5 in float32, and the loss and gradients, which
    are differences of such numbers, would be lost. Relative to the positive pair, the log-sum-exp is the loss itself.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, texts: Tensor, scale: Tensor, chunk_size: int, max_scale: float | None
    ) -> Tensor:
        clamped_scale = scale if max_scale is None else scale.clamp(max=max_scale)
        # Images, not texts, are scaled: the scale is then applied once per image instead of once per logit.
        scaled_images = images * clamped_scale
        all_texts = all_gather_rows(texts)
        positives = (scaled_images * texts).sum(1)
        all_positives = all_gather_rows(positives)
        # exp(-inf) is 0, the neutral element of the sums that the tiles add to.
        image_log_sums = torch.full_like(positives, -torch.inf)
        text_log_sums = torch.full_like(all_positives, -torch.inf)
        for rows, columns, offset in _tiles(len(images), len(all_texts), chunk_size):
            logits = _tile_logits(scaled_images[rows], all_texts[columns], positives[rows], offset)
            tile_image_sums = (logits - positives[rows, None]).logsumexp(1)
            torch.logaddexp(image_log_sums[rows], tile_image_sums, out=image_log_sums[rows])
            tile_text_sums = (logits - all_positives[columns]).logsumexp(0)
            torch.logaddexp(text_log_sums[columns], tile_text_sums, out=text_log_sums[columns])
        # So far each process has summed over its own images only.
        text_log_sums = all_reduce_logsumexp(text_log_sums)
        ctx.save_for_backward(
            images, all_texts, scale, clamped_scale, positives, all_positives, image_log_sums, text_log_sums
        )
        ctx.chunk_size, ctx.has_limit = chunk_size, max_scale is not None
        first = local_row_offset(len(texts))
        return (image_log_sums + text_log_sums[first : first + len(texts)]).mean() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        images, all_texts, scale, clamped_scale, positives, all_positives, image_log_sums, text_log_sums = (
            ctx.saved_tensors
        )
        needs_images, needs_texts, needs_scale = ctx.needs_input_grad[:3]
        scaled_images = images * clamped_scale
        # The products of the logits' gradient with the features. Common factors are multiplied in after the loop. The
        # gradient of the scale needs the sum for the images, too.
        image_sums = torch.zeros_like(images) if needs_images or needs_scale else None
        text_sums = torch.zeros_like(all_texts) if needs_texts else None
        for rows, columns, offset in _tiles(len(images), len(all_texts), ctx.chunk_size):
            logits = _tile_logits(scaled_images[rows], all_texts[columns], positives[rows], offset)
            # The gradient of a log-sum-exp is a softmax, exp(l - logsumexp(l)); here one along the rows (image to text)
            # and one along the columns (text to image), from the log-sum-exps of the forward pass.
            grad_logits = (logits - positives[rows, None]).sub_(image_log_sums[rows, None]).exp_()
            grad_logits += logits.sub_(all_positives[columns]).sub_(text_log_sums[columns]).exp_()
            if _has_positives(grad_logits, offset):
                # Both directions subtract the logit of the positive pair.
                grad_logits.diagonal(offset).sub_(2)
            if image_sums is not None:
                image_sums[rows].addmm_(grad_logits, all_texts[columns])
            if text_sums is not None:
                text_sums[columns].addmm_(grad_logits.T, images[rows])
        # The forward pass takes the mean over B pairs and over two directions.
        factor = grad_output / (2 * len(images))
        grad_images = grad_texts = grad_scale = None
        if text_sums is not None:
            # This process's images contribute to the gradients of all texts.
            grad_texts = reduce_scatter_rows(text_sums) * (factor * clamped_scale)
        if needs_scale:
            # dl[i, j] / dscale = image[i] @ text[j]; its sum with the logits' gradient is that of image[i] with the row
            # sums over j, which are already computed.
            grad_scale = (image_sums * images).sum() * factor
            if ctx.has_limit:
                grad_scale = _clamped_scale_gradient(grad_scale, scale, clamped_scale)
        if needs_images:
            grad_images = image_sums * (factor * clamped_scale)
        return grad_images, grad_texts, grad_scale, None, None


def _tiles(num_rows: int, num_columns: int, chunk_size: int) -> Iterator[tuple[slice, slice, int]]:
    """Yield the rows and columns of each tile, and the offset of the tile's diagonal that holds the positive pairs.

    The positive pair of local row i is in column `local_row_offset + i` of the gathered texts. The offset is that of
    `Tensor.diagonal`; it lies outside of tiles without positive pairs.
    """
    first = local_row_offset(num_rows)
    for column in range(0, num_columns, chunk_size):
        for row in range(0, num_rows, chunk_size):
            yield slice(row, row + chunk_size), slice(column, column + chunk_size), first + row - column


def _tile_logits(scaled_images: Tensor, texts: Tensor, positives: Tensor, offset: int) -> Tensor:
    """Compute the logits of a tile, with those of the positive pairs replaced by exactly `positives`.

    A matrix product may round differently from the row-wise sum of `positives`. With equal values, a relative logit of
    a positive pair is exactly 0.
    """
    logits = scaled_images @ texts.T
    if _has_positives(logits, offset):
        diagonal = logits.diagonal(offset)
        # A negative offset starts the diagonal in a lower row.
        diagonal.copy_(positives[max(-offset, 0) :][: len(diagonal)])
    return logits


def _has_positives(tile: Tensor, offset: int) -> bool:
    """Return whether the diagonal of this offset crosses the tile."""
    return -tile.shape[0] < offset < tile.shape[1]


def _clamped_scale_gradient(gradient: Tensor, scale: Tensor, clamped_scale: Tensor) -> Tensor:
    """Return the gradient of the scale; above the limit only one that lowers the scale (a positive one).

    The sign is decided by the mean over processes, which all of them return: clamping each process's gradient before
    they are averaged would keep some of the part that raises the scale.
    """
    return torch.where(scale <= clamped_scale, gradient, all_reduce_mean(gradient).clamp(min=0))
