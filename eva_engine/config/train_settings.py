"""Every `train.*` key of a recipe, its meaning and its default."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

TRAIN_SETTINGS: dict[str, Any] = {
    # Where checkpoints, metrics.json, log.txt, config.yaml, the results of evaluations and the report go.
    "output_dir": "./output",
    # Weights to start from, or to evaluate. Empty: random weights.
    "init_checkpoint": "",
    # Random state of sampling, augmentation and the model; -1 draws a new one, which the log names.
    "seed": -1,
    # Iterations, that is updates of the weights.
    "max_iter": 90000,
    "device": "cuda",
    # Reduced precision of the forward pass: "float16" with a dynamic loss scale, or "bfloat16".
    "amp": {"enabled": False, "dtype": "float16"},
    # An iteration's images are taken in this many parts, one after the other, whose gradients are averaged.
    "accumulation_steps": 1,
    # Largest norm of all gradients together; they are scaled down to it. 0: no limit.
    "clip_grad_norm": 0.0,
    # Iterations in a row whose loss or gradient is not finite: each is reported and changes nothing; one more stops.
    "max_skipped_steps": 10,
    # "ddp": every process holds the model. "fsdp": weights, gradients and optimizer state are split among them.
    "parallel": "ddp",
    # Keywords of torch's DistributedDataParallel, of which more may be given, and float16 gradients between processes.
    "ddp": {"broadcast_buffers": False, "find_unused_parameters": False, "fp16_compression": False},
    # cpu_offload: weights and optimizer state stay in the memory of the CPU. reshard_after_forward: weights of a block
    # are gathered again for the backward pass instead of being kept.
    "fsdp": {"cpu_offload": False, "reshard_after_forward": True},
    # Keep only the inputs of the backbone's blocks for the backward pass: "torch", or fairscale's wrapper: "fairscale",
    # with the inputs on the CPU: "fairscale_offload". Empty: as the model's own options say.
    "activation_checkpointing": "",
    # Parameters that stay as they are: patterns of plain names, as in ["backbone.net.blocks.*", "*.pos_embed"].
    "freeze": [],
    # Low-rank adaptation: with a rank above 0 the layers whose names match `targets` (a regular expression of the
    # whole name) learn rank * (in + out) numbers each, and the backbone that holds them is frozen otherwise.
    "lora": {
        "rank": 0,
        "alpha": 16.0,
        "dropout": 0.0,
        "targets": r"(.*\.)?blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
    },
    # Moving average of the weights: new = decay * old + (1 - decay) * weights after each update. With `evaluate` it is
    # what evaluations during training measure.
    "ema": {"enabled": False, "decay": 0.9999, "evaluate": False},
    # Iterations between checkpoints (0: only at the end) and how many of them stay on disk; written while training goes
    # on; the best one by a metric such as "bbox/AP" is kept as model_best, `best_mode` says whether "max" or "min" is
    # best.
    "checkpointer": {
        "period": 5000,
        "max_to_keep": 100,
        "asynchronous": True,
        "best_metric": "",
        "best_mode": "max",
    },
    # Iterations between evaluations (0: only at the end), and between lines of the log.
    "eval_period": 5000,
    "log_period": 20,
    # Project to log to at Weights & Biases, which must be installed. Empty: none.
    "wandb_project": "",
}


def fill_train_settings(cfg: DictConfig) -> DictConfig:
    """Give `cfg.train`, in place, the defaults of the keys it does not list; recipes of Detectron2 list only some."""
    cfg.train = OmegaConf.merge(OmegaConf.create(TRAIN_SETTINGS), cfg.get("train") or {})
    return cfg
