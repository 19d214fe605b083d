from ..common.robustness import use_imagenet_v2
from .eva02_B_pt_in21k_medft_in21k_ft_in1k_p14 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva02_B_pt_in21k_medft_in21k_ft_in1k_p14.pt"]}

use_imagenet_v2(dataloader)
