"""timm's model interface of the backbone: intermediate features, layers of parameters, weight decay, checkpointing."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, SupportsIndex

import torch
from torch import nn

from .attention import Attention
from .errors import InputError, check_choice
from .patch_embed import PatchEmbed
from .timm_names import from_timm_names


class TimmInterface(nn.Module):
    """Methods of `VisionTransformer` that follow timm's names and arguments.

    The attributes below are those of the model that these methods use.
    """

    embed_dim: int
    depth: int
    checkpoint_blocks: bool
    patch_embed: PatchEmbed
    blocks: nn.ModuleList
    norm: nn.Module
    add_positions: Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
    run_blocks: Callable[..., torch.Tensor]

    @property
    def num_features(self) -> int:
        """Token width, C; timm's name for `embed_dim`."""
        return self.embed_dim

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Turn activation checkpointing on or off: only inputs of blocks are kept for the backward pass."""
        self.checkpoint_blocks = enable

    def convert_state_dict(self, weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Rename the entries of a file of timm's EVA-02; other state dicts do not change.

        The checkpoint reader calls this before it loads a file.
        """
        return from_timm_names(weights)

    def no_weight_decay(self) -> set[str]:
        """Return names of parameters to exclude from weight decay in addition to vectors and biases."""
        return {"pos_embed", "cls_token"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002
        """Return regular expressions that assign parameters to layers, in the format of timm's layer decay.

        Layer 0 is the patch embedding with positions and tokens, layer i + 1 is block i, and all other parameters
        belong to the last layer.

        Args:
            coarse: Ignored; part of timm's interface, where it asks for groups of blocks.
        """
        return {"stem": r"^(?:cls_token|mask_token|pos_embed|patch_embed)", "blocks": r"^blocks\.(\d+)"}

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | Sequence[int] | None = None,
        *,
        return_prefix_tokens: bool = False,
        return_attention: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NLC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Return the final tokens and the features after selected blocks.

        Args:
            x: Normalised images [B, in_chans, H, W] or clips [B, in_chans, T, H, W].
            indices: Indices of blocks in any order, where negative ones count from the end; or a number of last blocks;
                None for all blocks.
            return_prefix_tokens: Return each feature map as a pair with its prefix tokens [B, prefix, C].
            return_attention: Also return the attention maps of the selected blocks, [B, heads, N, N] including prefix
                tokens; those of windowed blocks are [B * num_windows, heads, window ** 2, window ** 2].
            norm: Apply the final norm to each feature map.
            stop_early: Skip the blocks after the last selected one.
            output_fmt: "NCHW" for feature maps [B, C, H / patch_size, W / patch_size] ([B, C, T, H, W] for clips, in
                patches); "NLC" for patch tokens [B, N, C].
            intermediates_only: Do not return the final tokens.

        Returns:
            The final tokens [B, prefix + N, C] after the norm, a list of features and, with `return_attention`, a list
            of attention maps. Both lists have an item for each of the selected blocks, in the order of the model, as
            timm's have. `intermediates_only` omits the first; a single item is not wrapped in a tuple.

        Raises:
            InputError: If a block does not exist, or if `output_fmt` is unknown.
        """
        check_choice("output_fmt", output_fmt, ("NCHW", "NLC"))
        selected = _block_indices(indices, self.depth)
        num_blocks = max(selected) + 1 if stop_early else self.depth
        patches, grid = self.patch_embed(x)
        tokens = self.add_positions(patches, grid)
        features: list[Any] = []
        attention_maps: list[torch.Tensor] = []
        for index in range(num_blocks):
            if index in selected and return_attention:
                tokens, attention_map = self._run_block_with_attention(index, tokens, grid)
                attention_maps.append(attention_map)
            else:
                tokens = self.run_blocks(tokens, grid, index, index + 1)
            if index in selected:
                feature = self.norm(tokens) if norm else tokens
                features.append(_as_intermediate(feature, grid, return_prefix_tokens, output_fmt))
        result: list[Any] = []
        if not intermediates_only:
            result.append(self.norm(tokens))
        result.append(features)
        if return_attention:
            result.append(attention_maps)
        return result[0] if len(result) == 1 else tuple(result)

    def _run_block_with_attention(
        self, index: int, tokens: torch.Tensor, grid: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one block; return its output and its attention map.

        Fused kernels do not return their weights. A hook takes the inputs of the attention module in the block's own
        forward pass, which may be normalised or partitioned into windows, and computes the map from them.
        """
        attention_maps: list[torch.Tensor] = []

        def record(module: Attention, args: tuple[Any, ...]) -> None:
            attention_maps.append(module.attention_map(*args))

        hook = self.get_submodule(f"blocks.{index}.attn").register_forward_pre_hook(record)
        try:
            tokens = self.run_blocks(tokens, grid, index, index + 1)
        finally:
            hook.remove()
        return tokens, attention_maps[0]


def _as_intermediate(
    tokens: torch.Tensor, grid: tuple[int, ...], with_prefix: bool, output_fmt: str
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Split tokens [B, prefix + N, C] into the patches, as a map or as tokens, and the prefix tokens if asked for."""
    num_prefix_tokens = tokens.shape[1] - math.prod(grid)
    prefix, patches = tokens[:, :num_prefix_tokens], tokens[:, num_prefix_tokens:]
    if output_fmt == "NCHW":
        patches = patches.transpose(1, 2).unflatten(2, grid)
    return (patches, prefix) if with_prefix else patches


def _block_indices(indices: int | Sequence[int] | None, depth: int) -> list[int]:
    """Return non-negative indices of blocks for the `indices` of `forward_intermediates`."""
    if indices is None:
        return list(range(depth))
    if isinstance(indices, int):
        if not 1 <= indices <= depth:
            raise InputError(f"indices={indices} is not a number of blocks of this model; give 1 to {depth}")
        return list(range(depth - indices, depth))
    outside = [index for index in indices if not isinstance(index, SupportsIndex) or not -depth <= int(index) < depth]
    if outside or not len(indices):
        raise InputError(f"indices={list(indices)} does not name blocks of this model; choose from 0 to {depth - 1}")
    return [int(index) % depth for index in indices]
