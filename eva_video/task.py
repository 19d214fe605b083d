"""Video classification, as the engine knows it."""

from eva_engine.tasks import CLASS_NAMES, NO_IMAGES, TOP, Task

TASK = Task(
    name="video",
    package="eva_video",
    models={"VideoClassifier": "video classifier"},
    predictor="eva_video.prediction.predictor:VideoPredictor",
    file_task="eva_video.prediction.task:VideoFileTask",
    synthetic_batch="eva_video.data.synthetic_batch:VideoSyntheticBatch",
    export="eva_video.export:VideoExport",
    published_weights="eva_video.published_weights:FILES",
    predict_options=(CLASS_NAMES, TOP),
    output_options=(NO_IMAGES,),
    predict_usage="""\
video: the five most likely classes of each video, and a filmstrip.
       dataloader.test.mapper.frame_sampler.num_clips=1 dataloader.test.mapper.transform.num_crops=1
       takes one view instead of twelve
    python -m tools predict --config-file projects/Video/configs/kinetics400.py \\
        --weights eva_video_k400.pth --input clip.mp4 folder/ --output out/
""",
)
