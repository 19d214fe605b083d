from .evaluate_objectnet import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.mapper.border = 0
