from .linear_probe_224 import dataloader, lr_multiplier, model, optimizer, train

model.img_size = 336
optimizer.lr = 0.6
