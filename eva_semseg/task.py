"""Semantic segmentation, as the engine knows it."""

from eva_engine.tasks import CLASS_NAMES, NO_IMAGES, OVERLAP, SLICE, Task

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
    export="eva_semseg.export:SegmentationExport",
    published_weights="eva_semseg.published_weights:FILES",
    describe_weights="eva_semseg.weight_facts:describe_weights",
    evaluation_options=(SLICE, OVERLAP),
    evaluate_with="eva_semseg.window_options:set_windows",
    predict_options=(CLASS_NAMES, SLICE, OVERLAP),
    output_options=(NO_IMAGES,),
    predict_usage="""\
segmentation: the image with its classes in colour and a legend, class numbers, and a JSON file, for each input
    python -m tools predict --config-file projects/SemSeg/configs/ade20k_ss.py \\
        --weights eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth --input photos/ --output out/
    --slice is in pixels of the resized image; the windows of most recipes are as large as the crops of the training.
""",
)
