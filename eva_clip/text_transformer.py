"""The text side of EVA-CLIP: a causal transformer, read at the end token, and the scale of the logits."""

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
TOKEN_STD, POSITION_STD = 0.02, 0.01
INITIAL_LOGIT_SCALE = 1 / 0.07


class TextTransformer(nn.Module):
    """Token ids to one embedding per text, through open_clip's blocks, with the names of the published file.

    A text ends at the first occurrence of its largest id, which is the end token's. Causal attention never looks behind
    it, so that the padding that all texts of a batch share is left out of the computation.

    Args:
        output_dim: width of the space that images and texts share, D.
        context_length: tokens that a text may have, its start and end included.
        vocab_size: number of token ids.
        width: token width.
        num_heads: attention heads.
        num_layers: blocks.
        quick_gelu: the activation of OpenAI's models in place of the exact GELU.
        checkpoint_blocks: keep only the blocks' inputs for the backward pass.
    """

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
        checkpoint_blocks: bool = False,
    ) -> None:
        from open_clip.transformer import CustomResidualAttentionBlock, QuickGELU  # seconds of import

        super().__init__()
        self.output_dim, self.context_length, self.vocab_size = output_dim, context_length, vocab_size
        self.checkpoint_blocks = checkpoint_blocks
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.text_projection = nn.Parameter(torch.empty(width, output_dim))
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.transformer = nn.Module()
        # The block whose attention is made of plain layers: adapters can take their places.
        self.transformer.resblocks = nn.ModuleList(
            CustomResidualAttentionBlock(
                width, num_heads, act_layer=QuickGELU if quick_gelu else nn.GELU, norm_layer=TextLayerNorm
            )
            for _ in range(num_layers)
        )
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.ln_final = TextLayerNorm(width)
        nn.init.normal_(self.token_embedding.weight, std=TOKEN_STD)
        nn.init.normal_(self.positional_embedding, std=POSITION_STD)
        nn.init.normal_(self.text_projection, std=width**-0.5)
        nn.init.constant_(self.logit_scale, math.log(INITIAL_LOGIT_SCALE))
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
        """Token ids [B, L], L at most the context length, to embeddings [B, D], of any length.

        Raises:
            InputError: ids of another shape, or of more than the context length.
        """
        if token_ids.ndim != 2 or not 0 < token_ids.shape[1] <= self.context_length:
            raise InputError(
                f"token ids have shape {list(token_ids.shape)}, expected is [texts, 1 to {self.context_length}]: "
                "take them from get_tokenizer, with the context length of the model."
            )
        end = token_ids.argmax(1)  # the first one of equal ids
        token_ids = token_ids[:, : _used_length(end, token_ids.shape[1])]
        table = self.token_embedding.weight
        x = self.token_embedding(token_ids.to(table.device, non_blocking=True))
        x = x + self.positional_embedding[: x.shape[1]]
        length = x.shape[1]
        causal = x.new_full((length, length), -torch.inf).triu(1)  # every token sees itself and those in front of it
        for block in self._blocks():
            x = run_layer(block, x, causal, recompute=self.checkpoint_blocks)
        x = x[torch.arange(len(x), device=x.device), end.to(x.device)]
        return self.ln_final(x) @ self.text_projection


def _used_length(end: Tensor, full: int) -> int:
    """How many positions of a batch matter; all of them where the ids are not at hand."""
    if end.is_meta or isinstance(end, FakeTensor) or torch.compiler.is_compiling() or not len(end):
        return full
    return int(end.max()) + 1
