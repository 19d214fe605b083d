from ..common.robustness import use_objectnet
from .eva02_L_pt_m38m_medft_in21k_ft_in1k_p14 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva02_L_pt_m38m_medft_in21k_ft_in1k_p14.pt"]}

use_objectnet(dataloader)
dataloader.test.mapper.border = 0  # as published; 2 removes the red border of the images
dataloader.test.repeat_to_multiple_of = 4
