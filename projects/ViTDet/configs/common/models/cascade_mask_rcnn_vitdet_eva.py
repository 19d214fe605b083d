from .cascade_mask_rcnn_vitdet import model

# EVA-01 with 1.01 billion parameters; every fourth block has global attention.
model.backbone.net.update(
    img_size=1280,
    embed_dim=1408,
    depth=40,
    num_heads=16,
    mlp_ratio=6144 / 1408,
    drop_path_rate=0.6,
    window_size=16,
    window_block_indexes=[i for i in range(40) if i % 4 != 3],
    # Separate biases for queries and values, none for keys.
    beit_like_qkv_bias=True,
    # Layer scale.
    beit_like_gamma=False,
    freeze_patch_embed=True,
    use_act_checkpoint=True,
    # Interpolation of relative position tables: "vitdet" (linear) or "beit" (geometric spacing, for larger images).
    interp_type="vitdet",
)

model.backbone.square_pad = 1280
