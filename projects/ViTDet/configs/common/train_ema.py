from .train_amp import train

# The release's names of the options of the moving average; `train.ema` follows them.
train.model_ema = {"enabled": True, "decay": 0.9999, "use_ema_weights_for_eval_only": False}
train.ema.enabled = "${..model_ema.enabled}"
train.ema.decay = "${..model_ema.decay}"
train.ema.evaluate = "${..model_ema.use_ema_weights_for_eval_only}"
