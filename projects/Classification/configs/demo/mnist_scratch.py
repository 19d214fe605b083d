"""Demo, for comparison: the same model trained from scratch, with the iterations of both steps together."""

from .mnist_finetune import dataloader, lr_multiplier, model, optimizer, train

train.max_iter = 1000
