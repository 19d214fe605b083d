"""Semantic segmentation, as the engine knows it."""

from eva_engine.tasks import (
    CLASS_NAMES,
    FRAME_STRIDE,
    MAX_FRAMES,
    NO_IMAGES,
    OVERLAP,
    SLICE,
    TRAIN_DATA,
    VAL_DATA,
    VAL_SHARE,
    Option,
    Task,
)

TASK = Task(
    name="segmentation",
    package="eva_semseg",
    models={
        "Mask2Former": "semantic segmentation with ViT-Adapter and Mask2Former",
        "UperNet": "semantic segmentation with UperNet",
    },
    predictor="eva_semseg.prediction.predictor:SegmentationPredictor",
    file_task="eva_semseg.prediction.task:SegmentationFileTask",
    synthetic_batch="eva_semseg.data.synthetic_batch:SegmentationSyntheticBatch",
    data_check="eva_semseg.data_check:SegmentationCheck",
    export="eva_semseg.export:SegmentationExport",
    published_weights="eva_semseg.published_weights:FILES",
    former_names={"eva_semseg.segmenter.Segmenter": "eva_semseg.Mask2Former"},  # until 0.2
    describe_weights="eva_semseg.weight_facts:describe_weights",
    custom_data="eva_semseg.custom_data:LabelledData",
    train_options=(
        TRAIN_DATA,
        VAL_DATA,
        VAL_SHARE,
        Option(
            "--class-list",
            "names of the label values 0, 1, ..., one per line; default: classes.txt of the data",
            {"metavar": "FILE"},
        ),
        Option(
            "--palette",
            "colours of the classes, for label maps that are colour images; default: labelmap.txt or "
            "class_dict.csv of the data",
            {"metavar": "FILE"},
        ),
        Option(
            "--unlabelled",
            "value of unlabelled pixels, such as 0; the other values are the classes; default: 255",
            {"type": int, "metavar": "VALUE"},
        ),
    ),
    evaluation_options=(SLICE, OVERLAP),
    evaluate_with="eva_semseg.window_options:set_windows",
    predict_options=(CLASS_NAMES, SLICE, OVERLAP),
    output_options=(MAX_FRAMES, FRAME_STRIDE, NO_IMAGES),
    predict_usage="""\
segmentation: the image with its classes in colour and a legend, class numbers, and a JSON file, for each input; of a
       video, classes in colour and a JSON file
    python -m tools predict --config-file projects/SemSeg/configs/ade20k_ss.py \\
        --weights eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth --input photos/ --output out/
    --slice is in pixels of the resized image; the windows of most recipes are as large as the crops of the training.
""",
)
