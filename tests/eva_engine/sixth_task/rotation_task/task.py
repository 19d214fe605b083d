"""The task as the engine knows it."""

from eva_engine.tasks import WEIGHT_FILES, Option, Task, Verb

TASK = Task(
    name="rotation",
    package="rotation_task",
    models={"RotationModel": "rotation of images"},
    predictor="rotation_task.prediction:RotationPredictor",
    file_task="rotation_task.prediction:RotationFileTask",
    synthetic_batch="rotation_task.data:RotationSyntheticBatch",
    published_weights="rotation_task.published_weights:FILES",
    recipes="recipes",
    predict_options=(Option("--radians", "report radians instead of degrees", {"action": "store_true"}),),
    predict_usage="rotation: the angle of each image, printed and in angles.jsonl\n",
    verbs={"count-rotations": Verb("count the angles of an angles.jsonl", "rotation_task.count_command", WEIGHT_FILES)},
)
