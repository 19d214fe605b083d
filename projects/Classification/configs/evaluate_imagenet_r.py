from .common.robustness import use_imagenet_r
from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

use_imagenet_r(dataloader)
dataloader.test.repeat_to_multiple_of = 8
