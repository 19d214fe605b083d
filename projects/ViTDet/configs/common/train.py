from omegaconf import OmegaConf

train = OmegaConf.create()

# Where checkpoints, metrics.json, log.txt, config.yaml and evaluation results go.
train.output_dir = "./output"
# Weights to start from, or to evaluate. Empty: random weights.
train.init_checkpoint = ""
# Random state of sampling and augmentation; -1 draws a new one for each run.
train.seed = -1
train.max_iter = 90000
# float16 with a dynamic loss scale; on a CPU training runs in float32 whatever is given here.
train.amp = {"enabled": False}
# Keywords of torch's DistributedDataParallel, of which more may be given, and float16 gradients between processes.
train.ddp = {"broadcast_buffers": False, "find_unused_parameters": False, "fp16_compression": False}
# Iterations between checkpoints, and how many of them stay on disk.
train.checkpointer = {"period": 5000, "max_to_keep": 100}
# Iterations between evaluations, and between lines of the log.
train.eval_period = 5000
train.log_period = 20
train.device = "cuda"
