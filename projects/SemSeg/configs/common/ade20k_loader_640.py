from .ade20k_loader import dataloader

dataloader.train.mapper.size = (640, 640)
# The shorter side becomes 320 to 1279 pixels, the longer one at most four times as many.
dataloader.train.mapper.augmentations[0].update(long_side=2560, short_side=640)
dataloader.test.mapper.views.update(long_side=2560, short_side=640, divisor=1)
