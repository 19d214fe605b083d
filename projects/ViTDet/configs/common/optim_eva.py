from .optim import optimizer

optimizer.params.lr_factor_func.num_layers = 40
optimizer.params.lr_factor_func.lr_decay_rate = 0.9
# EVA decays every trainable tensor: norms, biases and position tables too.
optimizer.params.weight_decay_norm = None
