"""EVA-CLIP, as the engine knows it."""

from eva_engine.tasks import (
    FRAME_STRIDE,
    MAX_FRAMES,
    NO_IMAGES,
    TOP,
    TRAIN_DATA,
    VAL_DATA,
    WEIGHT_FILES,
    Option,
    Task,
    Verb,
)

TASK = Task(
    name="EVA-CLIP",
    package="eva_clip",
    models={"Clip": "EVA-CLIP, images and texts"},
    predictor="eva_clip.prediction.predictor:LabelPredictor",
    file_task="eva_clip.prediction.task:ClipFileTask",
    synthetic_batch="eva_clip.data.synthetic_batch:PairSyntheticBatch",
    data_check="eva_clip.data_check:PairCheck",
    export="eva_clip.export:ClipExport",
    published_weights="eva_clip.published_weights:FILES",
    describe_weights="eva_clip.weight_facts:describe_weights",
    other_uses="eva_clip.weight_facts:find_text_tower_uses",
    custom_data="eva_clip.custom_data:PairData",
    train_options=(TRAIN_DATA, VAL_DATA),
    predict_options=(
        Option(
            "--labels",
            "required: two or more labels, or a .txt file with one per line; all values up to the next option",
            {"nargs": "+", "metavar": "TEXT"},
            is_text=True,
            is_required=True,
            example='"a cat" "a dog"',
        ),
        Option(
            "--templates",
            "sentences with {} where the label goes, whose features are averaged; imagenet_80 or imagenet_7 for the "
            "lists of the published evaluations; or a .txt file; default: a photo of {}.",
            {"nargs": "+", "metavar": "TEXT"},
            is_text=True,
        ),
        TOP,
    ),
    output_options=(MAX_FRAMES, FRAME_STRIDE, NO_IMAGES),
    predict_usage="""\
EVA-CLIP: how well each of your labels fits: a table, contact sheets, scores.jsonl and scores.csv; for the frames of a
       video a JSON file
    python -m tools predict --config-file projects/CLIP/configs/zero_shot_in1k.py \\
        --weights eva_clip_psz14.pt --input photos/ --labels "a cat" "a dog" --output out/
""",
    verbs={
        "export-open-clip": Verb(
            "convert an EVA-CLIP to open_clip, or back", "eva_clip.commands.export_open_clip", WEIGHT_FILES
        ),
        "join-clip-towers": Verb(
            "combine two towers into the initial weights of an EVA-CLIP", "eva_clip.commands.join_towers", WEIGHT_FILES
        ),
    },
)
