"""The step loop and what it needs: batches, learner, optimiser, schedule, checkpoints.

Plain torch: no Ray and no MLflow. Everything that changes from step to step is a pure function of (config, corpus,
seed, step) or lies in the checkpoint, so a run that is killed ends as the run that was not.
"""

from hemometric.learning.batch import TrainingBatch, World, recording_key, recording_keys
from hemometric.learning.checkpoints import Checkpoint, CheckpointStore
from hemometric.learning.feed import Batches
from hemometric.learning.interrupt import asked_to_stop
from hemometric.learning.learner import Learner
from hemometric.learning.loop import Validate, fit
from hemometric.learning.optimiser import OptimiserConfig
from hemometric.learning.outcome import Fit, Report
from hemometric.learning.schedule import ConstantSchedule, CosineSchedule, PolySchedule, ScheduleConfig

__all__ = [
    "Batches",
    "Checkpoint",
    "CheckpointStore",
    "ConstantSchedule",
    "CosineSchedule",
    "Fit",
    "Learner",
    "OptimiserConfig",
    "PolySchedule",
    "Report",
    "ScheduleConfig",
    "TrainingBatch",
    "Validate",
    "World",
    "asked_to_stop",
    "fit",
    "recording_key",
    "recording_keys",
]
