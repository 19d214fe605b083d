"""Detection and instance segmentation, as the engine knows it."""

from eva_engine.commands.cli import fraction, positive_floats, positive_int
from eva_engine.tasks import (
    CLASS_NAMES,
    DATA,
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
    Verb,
)

# Options of `predict` and `evaluate`.
_INFERENCE_OPTIONS = (
    SLICE,
    OVERLAP,
    Option(
        "--full-image",
        "with --slice: also predict the image as a whole, for objects larger than a slice",
        {"action": "store_true"},
    ),
    Option(
        "--tta",
        "test-time augmentation: merge the predictions for several sizes of the image, each also mirrored",
        {"action": "store_true"},
    ),
    Option(
        "--tta-scales",
        "sizes for --tta, relative to the recipe's, default: 1,1.25",
        {"type": positive_floats, "metavar": "S,S,..."},
    ),
)

# Options of `train`, `evaluate` and `import-data`.
IMPORT_OPTIONS = (
    Option(
        "--data-format",
        "format of the data: coco, yolo, voc, labelme, cvat, csv or hugging-face; by default it is detected",
        {"choices": ("coco", "yolo", "voc", "labelme", "cvat", "csv", "hugging-face"), "metavar": "FORMAT"},
    ),
    Option(
        "--rename-class",
        "rename a class of the data, or merge it with the class of that name; OLD=OLD keeps one that is asked about",
        {"metavar": "OLD=NEW", "action": "append"},
        is_text=True,
    ),
    Option(
        "--pixels-from",
        "number of the first pixel in boxes of Pascal VOC (default: 1) and CSV (default: 0)",
        {"type": int, "choices": (0, 1)},
    ),
)

TASK = Task(
    name="detection",
    package="detectron2_ext",
    other_packages=("detectron2",),
    models={"GeneralizedRCNN": "object detector"},
    predictor="detectron2_ext.prediction.predictor:DetectionPredictor",
    file_task="detectron2_ext.prediction.task:DetectionFileTask",
    synthetic_batch="detectron2_ext.data.synthetic_batch:DetectionSyntheticBatch",
    data_check="detectron2_ext.data_check.check:DetectionCheck",
    published_weights="detectron2_ext.published_weights:FILES",
    former_names={
        "detectron2.modeling.proposal_generator.RPN": "detectron2_ext.modeling.ChunkedRPN",
        "detectron2.modeling.proposal_generator.rpn.RPN": "detectron2_ext.modeling.ChunkedRPN",
    },
    describe_weights="detectron2_ext.weight_facts:describe_weights",
    image_pairs="detectron2_ext.report.detection_images:run_image_pairs",
    export="detectron2_ext.export.task_export:DetectionExport",
    custom_data="detectron2_ext.custom_data:CustomData",
    fit_to_data="detectron2_ext.fitting:fit_to_data",
    train_options=(
        TRAIN_DATA,
        VAL_DATA,
        VAL_SHARE,
        Option("--train-json", "annotations to train on, in COCO format", {"metavar": "FILE"}),
        Option(
            "--train-images",
            "folder that their file names are relative to; with --train-data only needed if the images are elsewhere",
            {"metavar": "DIR"},
        ),
        Option("--val-json", "annotations to evaluate on, in COCO format", {"metavar": "FILE"}),
        Option("--val-images", "folder that their file names are relative to", {"metavar": "DIR"}),
        *IMPORT_OPTIONS,
        Option(
            "--leave-out-category",
            "category without annotations that is not a class, such as the root of a hierarchy",
            {"metavar": "NAME", "action": "append"},
        ),
    ),
    train_options_help="the data may be COCO JSON, YOLO, Pascal VOC, LabelMe, CVAT, CSV or Hugging Face",
    verbs={
        "import-data": Verb(
            "convert annotations of detection to COCO JSON, with a report", "detectron2_ext.commands.import_data", DATA
        )
    },
    evaluation_options=_INFERENCE_OPTIONS,
    evaluate_with="detectron2_ext.evaluation.image_inference:evaluate_with",
    inference="detectron2_ext.evaluation.image_inference:ImageInference",
    predict_options=(
        CLASS_NAMES,
        Option(
            "--score-threshold",
            "lowest score of a detection, 0 to 1; an evaluation suggests one in score_threshold.json; default: 0.5",
            {"type": fraction, "metavar": "S"},
        ),
        Option(
            "--max-detections",
            "largest number of detections per image or frame, by default that of the recipe, mostly 100",
            {"type": positive_int, "metavar": "N"},
        ),
        *_INFERENCE_OPTIONS,
    ),
    output_options=(
        MAX_FRAMES,
        FRAME_STRIDE,
        Option("--track", "give each object an identity across frames", {"action": "store_true"}),
        Option(
            "--save-as",
            "also write the detections for other tools: coco, one file with masks as run lengths; coco-polygons; csv; "
            "yolo; labelme, not for videos; crops, an image of each object; those of a video's frames in a folder "
            "VIDEO_frames; repeatable",
            {
                "action": "append",
                "choices": ("coco", "coco-polygons", "csv", "yolo", "labelme", "crops"),
                "metavar": "FORMAT",
            },
        ),
        NO_IMAGES,
    ),
    predict_usage="""\
detection: the image or video with its detections drawn, and a JSON file, for each input
    python -m tools predict --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \\
        --weights eva_coco_seg.pth --input photo.jpg folder/ clip.mp4 --output out/ model.roi_heads.maskness_thresh=0.5
    --slice is in pixels of the image; without it, the image is resized to the size of the recipe.
""",
)
