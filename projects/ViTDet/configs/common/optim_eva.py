from .optim import optimizer

optimizer.params.lr_factor_func.num_layers = 40
optimizer.params.lr_factor_func.lr_decay_rate = 0.9
# EVA applies weight decay to every parameter, including norms, biases and position embeddings.
optimizer.params.weight_decay_norm = None
