from .train import train

train.amp.enabled = True
train.activation_checkpointing = ""
train.eval_period = 1000
