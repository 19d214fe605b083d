from .common.robustness import use_real_labels
from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

use_real_labels(dataloader)
