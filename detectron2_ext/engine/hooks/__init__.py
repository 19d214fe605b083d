"""What happens between iterations, in the order in which training registers it."""

from .checkpoints import SaveCheckpoints
from .evaluation import Evaluate
from .learning_rate import ScheduleLearningRate
from .stop_signals import StopOnSignal
from .weight_decay import ScheduleWeightDecay
from .writing import WriteMetrics

__all__ = ["Evaluate", "SaveCheckpoints", "ScheduleLearningRate", "ScheduleWeightDecay", "StopOnSignal", "WriteMetrics"]
