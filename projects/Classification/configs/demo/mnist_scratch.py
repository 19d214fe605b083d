"""Demo, for comparison: the same model learns the digits from random weights, in as many iterations as both steps."""

from projects.Classification.configs.common.optim import optimizer
from projects.Classification.configs.demo.mnist_finetune import dataloader, lr_multiplier, model, train

train.max_iter = 1000
