"""The EVA backbone under Detectron2's interface and option names."""

from collections.abc import Sequence

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone

from eva_backbone import VisionTransformer
from eva_backbone.attention import QKVBias
from eva_backbone.attention_kernels import KernelName
from eva_backbone.relative_position import RelPosResize


class ViT(VisionTransformer, Backbone):
    """`VisionTransformer` as a Detectron2 backbone with one output map; options as in ViTDet, EVA-01 and EVA-02.

    EVA-02 needs beit_like_qkv_bias=True, rope=True, subln=True, naiveswiglu=True and mlp_ratio=8/3.

    Args:
        img_size: Image side in pixels for which the relative position tables of global blocks are created. Images may
            have other sizes; the tables are then resized.
        patch_size: Patch side in pixels, which is also the stride of the output.
        in_chans: Number of input channels.
        embed_dim: Token width.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        mlp_ratio: Hidden width of the MLP divided by `embed_dim`.
        qkv_bias: Learn one bias of query, key and value.
        drop_path_rate: Stochastic depth rate of the last block.
        use_abs_pos: Learn an absolute position table.
        use_rel_pos: Learn decomposed relative position tables, initially zero.
        window_size: Side of the attention windows in tokens.
        window_block_indexes: Indices of the blocks with windowed attention; the others attend globally.
        residual_block_indexes: Indices of the blocks that end in a residual bottleneck.
        use_act_checkpoint: Use activation checkpointing for the blocks.
        pretrain_img_size: Image side in pixels for which the absolute position table is stored.
        pretrain_use_cls_token: Whether the table starts with the entry of a class token, which is not used here.
        out_feature: Name of the output map.
        beit_like_qkv_bias: Learn `q_bias` and `v_bias` and no bias of the key; `qkv_bias` is then ignored.
        beit_like_gamma: Learn per-channel factors of all branches, initially one.
        freeze_patch_embed: Do not train the patch embedding.
        interp_type: Method that resizes relative position tables, "vitdet" (linear) or "beit" (cubic, on geometrically
            spaced distances).
        rope: Rotate queries and keys by the positions of their patches, within the window in windowed blocks.
        pt_hw_seq_len: Side of the grid of pre-training, to which the range of these positions is scaled.
        intp_freq: Whether to scale the positions; otherwise they are the numbers of rows and columns.
        subln: Use separate layers for query, key and value, and normalise the hidden features of the MLP.
        naiveswiglu: Use a gated MLP.
        attention: Attention kernel, see `eva_backbone.attention_kernels`.
    """

    def __init__(
        self,
        img_size: int = 1024,
        patch_size: int = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
        use_abs_pos: bool = True,
        use_rel_pos: bool = False,
        window_size: int = 0,
        window_block_indexes: Sequence[int] = (),
        residual_block_indexes: Sequence[int] = (),
        use_act_checkpoint: bool = False,
        pretrain_img_size: int = 224,
        pretrain_use_cls_token: bool = True,
        out_feature: str = "last_feat",
        beit_like_qkv_bias: bool = False,
        beit_like_gamma: bool = False,
        freeze_patch_embed: bool = False,
        interp_type: RelPosResize = "vitdet",
        rope: bool = False,
        pt_hw_seq_len: int = 16,
        intp_freq: bool = True,
        subln: bool = False,
        naiveswiglu: bool = False,
        attention: KernelName = "auto",
    ) -> None:
        bias: QKVBias = "full" if qkv_bias else "none"
        if beit_like_qkv_bias:
            bias = "qv"
        super().__init__(
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp="swiglu" if naiveswiglu else "gelu",
            mlp_ratio=mlp_ratio,
            mlp_norm=subln,
            qkv_bias=bias,
            qkv_layers="separate" if subln else "fused",
            rope=rope,
            rope_range=pt_hw_seq_len if intp_freq else None,
            class_token=False,
            abs_pos=use_abs_pos,
            pos_img_size=pretrain_img_size,
            pos_prefix_tokens=int(pretrain_use_cls_token),
            rel_pos="decomposed" if use_rel_pos else None,
            rel_pos_resize=interp_type,
            window_size=window_size,
            window_blocks=window_block_indexes,
            residual_blocks=residual_block_indexes,
            layer_scale=1.0 if beit_like_gamma else None,
            drop_path_rate=drop_path_rate,
            final_norm=False,
            checkpoint_blocks=use_act_checkpoint,
            attention=attention,
        )
        if freeze_patch_embed:
            self.patch_embed.requires_grad_(False)
        self.out_feature = out_feature
        self._out_features = [out_feature]
        self._out_feature_channels = {out_feature: embed_dim}
        self._out_feature_strides = {out_feature: patch_size}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Return the channels and the stride of the output map."""
        return {self.out_feature: ShapeSpec(channels=self.embed_dim, stride=self.patch_size)}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the output map of normalised images [B, in_chans, H, W].

        Returns:
            {out_feature: [B, embed_dim, H / patch_size, W / patch_size]}
        """
        return {self.out_feature: self.forward_map(x)}
