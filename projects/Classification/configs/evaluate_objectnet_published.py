from .evaluate_objectnet import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

dataloader.test.mapper.border = 0
