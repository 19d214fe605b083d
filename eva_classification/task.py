"""Image classification and masked image modelling, as the engine knows them."""

from eva_engine.tasks import (
    CLASS_NAMES,
    FRAME_STRIDE,
    MAX_FRAMES,
    TOP,
    TRAIN_DATA,
    VAL_DATA,
    VAL_SHARE,
    WEIGHT_FILES,
    Task,
    Verb,
)

TASK = Task(
    name="classification",
    package="eva_classification",
    models={"Classifier": "image classifier", "MaskedImageModel": "masked image modelling (pre-training)"},
    without_prediction=("MaskedImageModel",),
    predictor="eva_classification.prediction.predictor:ClassPredictor",
    file_task="eva_classification.prediction.task:ClassificationFileTask",
    synthetic_batch="eva_classification.data.synthetic_batch:ImageSyntheticBatch",
    data_check="eva_classification.data_check:ClassificationCheck",
    export="eva_classification.export:ClassifierExport",
    published_weights="eva_classification.published_weights:FILES",
    describe_weights="eva_classification.weight_facts:describe_weights",
    other_uses="eva_classification.weight_facts:find_teacher_uses",
    custom_data="eva_classification.custom_data:ImageData",
    train_options=(TRAIN_DATA, VAL_DATA, VAL_SHARE),
    predict_options=(CLASS_NAMES, TOP),
    output_options=(MAX_FRAMES, FRAME_STRIDE),
    predict_usage="""\
classification: the five most likely classes, printed and in classes.jsonl; those of a video's frames in a JSON file
    python -m tools predict --config-file projects/Classification/configs/in1k_336.py \\
        --weights eva_21k_1k_336px_psz14_ema_89p6.pt --input photos/ --output out/
""",
    verbs={
        "export-timm": Verb(
            "convert a classifier to timm, or back", "eva_classification.commands.export_timm", WEIGHT_FILES
        )
    },
)
