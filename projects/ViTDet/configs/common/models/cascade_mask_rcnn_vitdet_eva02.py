from .cascade_mask_rcnn_vitdet import model

# EVA-02: rotary positions instead of relative position tables, separate projections of query, key and value without a
# bias of the key, a gated MLP with a norm. With 8/3 times the width, its three matrices are as large as the two of an
# MLP of four times the width.
model.backbone.net.update(
    use_rel_pos=False,
    rope=True,
    beit_like_qkv_bias=True,
    subln=True,
    naiveswiglu=True,
    mlp_ratio=8 / 3,
    window_size=16,
)


def use_eva02(size, image_size, num_global, window_size=16, **net):
    """Choose the size of the backbone and of the images.

    Args:
        size: "base" (86 million parameters in the backbone) or "large" (304 million).
        image_size: Side of the padded image in pixels.
        num_global: Number of blocks with global attention, spaced evenly; the last block is one of them.
        window_size: Side of the windows of the other blocks in patches of 16 pixels.
        net: Other options of the backbone.
    """
    width, depth, heads = {"base": (768, 12, 12), "large": (1024, 24, 16)}[size]
    spacing = depth // num_global
    model.backbone.square_pad = image_size
    model.backbone.net.update(
        img_size=image_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        window_size=window_size,
        window_block_indexes=[i for i in range(depth) if i % spacing != spacing - 1],
        **net,
    )
