from .ade20k_loader import dataloader

dataloader.train.mapper.size = (512, 512)
# The shorter side becomes 256 to 1023 pixels, the longer one at most four times as many.
dataloader.train.mapper.augmentations[0].update(long_side=2048, short_side=512)
dataloader.test.mapper.views.update(long_side=2048, short_side=512, divisor=1)
