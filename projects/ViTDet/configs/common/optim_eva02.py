from .optim_eva import optimizer


def use_layer_decay(num_layers, rate, lr):
    """Use the learning rate `lr` for heads and pyramid, and for block i `rate` times that of block i + 1."""
    optimizer.lr = lr
    optimizer.params.lr_factor_func.num_layers = num_layers
    optimizer.params.lr_factor_func.lr_decay_rate = rate
