"""The text tower of EVA-CLIP: a causal transformer whose output at the end token is projected; the logit scale."""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from eva_backbone.block import run_layer
from eva_backbone.errors import InputError
from eva_backbone.layer_norm import LayerNorm

TextLayerNorm = partial(LayerNorm, eps=1e-5)
# Initial values of OpenAI's CLIP; the temperature of the softmax over cosines starts at 0.07.
TOKEN_STD, POSITION_STD = 0.02, 0.01
INITIAL_LOGIT_SCALE = 1 / 0.07


def build_logit_scale() -> nn.Parameter:
    """Build the learned logit scale; the parameter is its logarithm, so that the scale stays positive."""
    parameter = nn.Parameter(torch.empty(()))
    nn.init.constant_(parameter, math.log(INITIAL_LOGIT_SCALE))
    return parameter


class TextTransformer(nn.Module):
    """Embed token ids with open_clip's transformer blocks, under the parameter names of the original release.

    A text ends at the first occurrence of its largest id, which is the end token. Under causal attention no token up to
    the end depends on the padding after it. Padding that all texts of a batch have in common is therefore cut off
    before the computation.

    Args:
        output_dim: Dimension D of the joint embedding space.
        context_length: Maximum number of tokens per text, start and end tokens included.
        vocab_size: Number of token ids.
        width: Token dimension.
        num_heads: Number of attention heads.
        num_layers: Number of transformer blocks.
        quick_gelu: Use the approximate GELU of OpenAI's models instead of the exact one.
        logit_scale: Own the learned logit scale, as in the first EVA-CLIP. In all other releases it belongs to `Clip`.
        checkpoint_blocks: Activation checkpointing: keep only the blocks' inputs for the backward pass.
    """

    float32_parts = ("positional_embedding", "text_projection", "logit_scale")

    def __init__(
        self,
        output_dim: int,
        *,
        context_length: int = 77,
        vocab_size: int = 49408,
        width: int = 768,
        num_heads: int = 12,
        num_layers: int = 12,
        quick_gelu: bool = False,
        logit_scale: bool = True,
        checkpoint_blocks: bool = False,
    ) -> None:
        # Imported here because the import takes seconds.
        from open_clip.transformer import CustomResidualAttentionBlock, QuickGELU

        super().__init__()
        self.output_dim, self.context_length, self.vocab_size = output_dim, context_length, vocab_size
        self.checkpoint_blocks = checkpoint_blocks
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.text_projection = nn.Parameter(torch.empty(width, output_dim))
        if logit_scale:
            self.logit_scale = build_logit_scale()
        else:
            # The order of the parameters, which optimizer states depend on, is that of the releases.
            self.token_embedding = nn.Embedding(vocab_size, width)
        self.transformer = nn.Module()
        # open_clip's custom block has an attention built from linear layers, which adapters such as LoRA can replace.
        blocks = nn.ModuleList()
        activation = QuickGELU if quick_gelu else nn.GELU
        for _ in range(num_layers):
            block = CustomResidualAttentionBlock(width, num_heads, act_layer=activation, norm_layer=TextLayerNorm)
            blocks.append(block)
        self.transformer.resblocks = blocks
        if logit_scale:
            self.token_embedding = nn.Embedding(vocab_size, width)
        self.ln_final = TextLayerNorm(width)
        nn.init.normal_(self.token_embedding.weight, std=TOKEN_STD)
        nn.init.normal_(self.positional_embedding, std=POSITION_STD)
        nn.init.normal_(self.text_projection, std=width**-0.5)
        # Each block adds two branches to the residual stream. Scaling their output layers by 1 / sqrt(2 * num_layers)
        # keeps the variance of the sum independent of the depth.
        branch_std = width**-0.5 * (2 * num_layers) ** -0.5
        for block in self._blocks():
            nn.init.normal_(block.get_parameter("attn.in_proj_weight"), std=width**-0.5)
            nn.init.normal_(block.get_parameter("attn.out_proj.weight"), std=branch_std)
            nn.init.zeros_(block.get_parameter("attn.out_proj.bias"))
            nn.init.normal_(block.get_parameter("mlp.c_fc.weight"), std=(2 * width) ** -0.5)
            nn.init.normal_(block.get_parameter("mlp.c_proj.weight"), std=branch_std)

    def _blocks(self) -> Iterator[nn.Module]:
        return self.transformer.get_submodule("resblocks").children()

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map token ids [B, L] on any device to embeddings [B, D], which are not L2-normalised.

        L may be any number of tokens up to the context length.

        Raises:
            InputError: The ids have another shape or exceed the context length.
        """
        if token_ids.ndim != 2 or not 0 < token_ids.shape[1] <= self.context_length:
            raise InputError(
                f"token ids have shape {list(token_ids.shape)}, expected is [texts, 1 to {self.context_length}]: "
                "take them from get_tokenizer, with the context length of the model."
            )
        # The end token has the largest id of the vocabulary; argmax returns the first of several.
        end = token_ids.argmax(1)
        token_ids = token_ids[:, : _used_length(end, token_ids.shape[1])]
        x = self.token_embedding(token_ids.to(self.positional_embedding.device, non_blocking=True))
        x = (x + self.positional_embedding[: x.shape[1]]).to(x.dtype)
        length = x.shape[1]
        # Added to the attention scores: -inf above the diagonal, so that a token attends to itself and earlier ones.
        causal_mask = x.new_full((length, length), -torch.inf).triu(1)
        for block in self._blocks():
            x = run_layer(block, x, causal_mask, use_checkpoint=self.checkpoint_blocks)
        # Under causal attention only the end token has seen the full text. Its row is selected before the layer norm,
        # which works on each row separately.
        x = x[torch.arange(x.shape[0], device=x.device), end.to(x.device)]
        return self.ln_final(x).to(self.text_projection.dtype) @ self.text_projection


def _used_length(end: Tensor, full: int) -> int:
    """Return the number of leading positions that the batch needs.

    Args:
        end: Index of the end token of each text, [B].
        full: Number of positions L of the batch; returned if the values of `end` are not available, as on the meta
            device and during compilation.
    """
    if end.is_meta or isinstance(end, FakeTensor) or torch.compiler.is_compiling() or not len(end):
        return full
    return int(end.max()) + 1
