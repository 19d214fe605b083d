"""Recipe: the digits demo with another head."""

from tests.extensions.cosine_classifier import CosineClassifier

from ...projects.Classification.configs.demo.mnist_scratch import dataloader, lr_multiplier, model, optimizer, train

model._target_ = CosineClassifier
