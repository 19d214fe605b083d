from .train import train

train.amp.enabled = True
train.ddp.fp16_compression = True
