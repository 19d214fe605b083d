from projects.Classification.configs.common.models.eva_giant import model
from projects.Classification.configs.linear_probe_224 import dataloader, lr_multiplier, optimizer, train

model.img_size = 336
optimizer.lr = 0.6
