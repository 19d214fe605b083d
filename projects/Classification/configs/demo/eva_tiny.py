# The size of all three models of the demo: 17 tokens, which are 4 x 4 patches and the class token.
SIZE = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 2, "mlp_ratio": 4.0}
