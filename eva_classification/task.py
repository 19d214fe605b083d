"""Image classification and masked image modelling, as the engine knows them."""

from eva_engine.tasks import CLASS_NAMES, TOP, WEIGHT_FILES, Task, Verb

TASK = Task(
    name="classification",
    package="eva_classification",
    models={"Classifier": "image classifier", "MaskedImageModel": "masked image modelling (pre-training)"},
    without_prediction=("MaskedImageModel",),
    predictor="eva_classification.prediction.predictor:ClassPredictor",
    file_task="eva_classification.prediction.task:ClassificationFileTask",
    synthetic_batch="eva_classification.data.synthetic_batch:ImageSyntheticBatch",
    export="eva_classification.export:ClassifierExport",
    published_weights="eva_classification.published_weights:FILES",
    describe_weights="eva_classification.weight_facts:describe_weights",
    other_uses="eva_classification.weight_facts:find_teacher_uses",
    predict_options=(CLASS_NAMES, TOP),
    predict_usage="""\
classification: the five most likely classes, printed and in classes.jsonl
    python -m tools predict --config-file projects/Classification/configs/in1k_336.py \\
        --weights eva_21k_1k_336px_psz14_ema_89p6.pt --input photos/ --output out/
""",
    verbs={
        "export-timm": Verb(
            "convert a classifier to timm, or back", "eva_classification.commands.export_timm", WEIGHT_FILES
        )
    },
)
