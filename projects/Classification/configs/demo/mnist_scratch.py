"""Demo, for comparison: the same model learns the digits from random weights, in as many iterations as both steps."""

from .mnist_finetune import dataloader, lr_multiplier, model, optimizer, train

train.max_iter = 1000
