"""All `train.*` keys of a recipe with their meanings and defaults."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eva_backbone.errors import InputError

TRAIN_SETTINGS: dict[str, Any] = {
    # Folder for checkpoints, metrics.json, log.txt, config.yaml, the results of evaluations and the report.
    "output_dir": "./output",
    # Weights to start from, or to evaluate. Empty: random weights.
    "init_checkpoint": "",
    # Seed of sampling, augmentation and the model; -1 draws a new one, which is logged.
    "seed": -1,
    # Number of iterations (updates of the weights).
    "max_iter": 90000,
    # "cuda" or "cpu"; without a CUDA device, a recipe for "cuda" runs on the CPU.
    "device": "cuda",
    # Stop before the model is built if the memory plan exceeds the memory of this machine.
    "check_memory": True,
    # Reduced precision of the forward pass: "float16" with a dynamic loss scale, or "bfloat16".
    "amp": {"enabled": False, "dtype": "float16"},
    # Compile the transformer blocks with torch.compile (docs/howto/compile.md); needs a C++ compiler. Evaluations run
    # uncompiled, and memory plans assume uncompiled blocks.
    "compile": False,
    # Number of micro-batches that the images of an iteration are split into; their gradients are averaged.
    "accumulation_steps": 1,
    # Largest `dataloader.train.total_batch_size` that may be chosen: a new run takes the largest batch up to it that
    # fits the free memory of the device by the memory plan, and saves it. 0: the batch of the recipe.
    "auto_batch": 0,
    # Batch size that the learning rates of the recipe are for: they are multiplied by total_batch_size / lr_batch_size.
    # 0: they are not scaled.
    "lr_batch_size": 0,
    # Largest total norm of the gradients; larger ones are scaled down to it. 0: no limit.
    "clip_grad_norm": 0.0,
    # Number of iterations in a row with a non-finite loss or gradient that are logged and skipped; one more stops the
    # run.
    "max_skipped_steps": 10,
    # "ddp": every process holds the model. "fsdp": weights, gradients and optimizer state are sharded among them.
    "parallel": "ddp",
    # Keywords of torch's DistributedDataParallel (others may be added), and whether gradients are exchanged in float16.
    "ddp": {"broadcast_buffers": False, "find_unused_parameters": False, "fp16_compression": False},
    # cpu_offload: keep weights and optimizer state in the memory of the CPU. reshard_after_forward: free the gathered
    # weights of a block after the forward pass, and gather them again for the backward pass.
    "fsdp": {"cpu_offload": False, "reshard_after_forward": True},
    # Keep only the inputs of the backbone's blocks for the backward pass: "torch", "fairscale" for fairscale's wrapper,
    # "fairscale_offload" to keep the inputs on the CPU as well. Empty: the options of the model decide.
    "activation_checkpointing": "",
    # Parameters that are not trained: shell patterns of names, such as ["backbone.net.blocks.*", "*.pos_embed"].
    "freeze": [],
    # Low-rank adaptation (LoRA): with a rank above 0, each layer whose full name matches the regular expression
    # `targets` learns rank * (in + out) numbers, and the rest of the backbone that contains it is frozen.
    "lora": {
        "rank": 0,
        "alpha": 16.0,
        "dropout": 0.0,
        "targets": r"(.*\.)?blocks\.\d+\.(attn\.(qkv|[qkv]_proj|proj)|mlp\.(fc1(_[gx])?|fc2|w1|w2|w12|w3))",
    },
    # Moving average of the weights: new = decay * old + (1 - decay) * weights after each update. With `evaluate`, the
    # average is evaluated instead of the weights.
    "ema": {"enabled": False, "decay": 0.9999, "evaluate": False},
    # Iterations between checkpoints (0: only at the end), how many of them are kept, and whether they are written while
    # training continues. The best one by a metric such as "bbox/AP" is saved as model_best; `best_mode` is "max" if
    # higher values are better, "min" if lower ones are, "auto": "min" for metrics with "loss" in their last part.
    "checkpointer": {
        "period": 5000,
        "max_to_keep": 100,
        "asynchronous": True,
        "best_metric": "",
        "best_mode": "auto",
    },
    # Iterations between evaluations; 0: only at the end.
    "eval_period": 5000,
    # Iterations between progress lines in the log.
    "log_period": 20,
    # Compute the training losses at each evaluation, as "validation/total_loss", "validation/loss_...": with the mapper
    # of dataloader.train and the dataset of dataloader.test, or dataloader.validation where the recipe has it.
    "validation_loss": False,
    # Stop after `patience` evaluations in a row in which `metric` was not better than before by more than `min_delta`.
    # model_best is then the best checkpoint by this metric, in place of checkpointer.best_metric. Empty: do not stop.
    "early_stopping": {"metric": "", "patience": 5, "min_delta": 0.0},
    # Your own hooks, [L(MyHook)(...)]: detectron2.engine.HookBase with before_train, before_step, after_step,
    # after_train, and state_dict and load_state_dict for what a resumed run needs (docs/howto/extend.md).
    "hooks": [],
    # Project to log to at Weights & Biases; needs the extra wandb. Empty: none.
    "wandb_project": "",
    # Project of trackio to log to; needs the extra trackio. Empty: none.
    "trackio_project": "",
    # Experiment of MLflow to log to; needs the extra mlflow. Empty: none.
    "mlflow_experiment": "",
}


def fill_train_settings(cfg: DictConfig) -> DictConfig:
    """Add the defaults of missing keys to `cfg.train`, in place; recipes of Detectron2 list only some of them."""
    try:
        defaults = OmegaConf.create(TRAIN_SETTINGS, flags={"allow_objects": True})  # the classes of hooks
        cfg.train = OmegaConf.merge(defaults, cfg.get("train") or {})
    except (TypeError, ValueError, OmegaConfBaseException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"train is not a group of settings ({reason}); give it keys such as max_iter") from error
    return cfg
