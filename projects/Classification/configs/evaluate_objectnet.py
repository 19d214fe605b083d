from .common.robustness import use_objectnet
from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

use_objectnet(dataloader)
dataloader.test.mapper.transform.interpolation = "bilinear"
dataloader.test.repeat_to_multiple_of = 8
