"""Numbers that README and docs cite: a phrase of the text, with {} for each number, and the cited results.

`python -m benchmarks` updates the numbers.
"""

from .citations import Citations, Cited


def _ratios(script: str, figure: str) -> list[Cited]:
    return [Cited(script, figure, quantity, "ratio") for quantity in ("time", "memory")]


def _demo(figure: str, *quantities: str) -> list[Cited]:
    return [Cited("demos", figure, quantity) for quantity in quantities]


def _beside_guessing(figure: str) -> list[Cited]:
    return [Cited("demos", figure, "top-1"), Cited("demos", figure, "top-1", "theirs")]


def _runtime(name: str) -> list[Cited]:
    figure = f"EVA-02-B's backbone, 1024 px, {name}"
    return [Cited("runtimes", figure, "processor time", "ratio")]


FULL_SIZE = [
    Cited("full_size_inference", "one photo, 100 detections", "time"),
    Cited("full_size_inference", "the process, weights included", "peak memory"),
]

FULL_SIZE_EVA02 = [
    Cited("full_size_eva02", f"{side} px, {figure}", quantity)
    for side in (1024, 1536)
    for figure, quantity in (
        ("one photo, 100 detections", "processor time"),
        ("the process, weights included", "peak memory"),
    )
]

# Rows and phrases of README that the page with the whole comparison has, too.
SPEED: Citations = {
    "| four giant blocks, 1280 px, forward | {}x | {}x |": _ratios("backbone", "four blocks, forward, 1280 px"),
    "| four giant blocks, 1280 px, training step with activation checkpointing | {}x | {}x |": _ratios(
        "backbone", "four blocks, training step with activation checkpointing, 1280 px"
    ),
    "| COCO evaluation of 70,000 boxes (pycocotools / default) | {}x |": [
        Cited("coco_evaluation", "boxes, 70,000 detections", "time", "ratio")
    ],
    "takes {} s of processor time and {} GB at 1024 pixels, and {} s and {} GB at 1536": FULL_SIZE_EVA02,
}

CITED: dict[str, Citations] = {
    "README.md": {
        "{} box AP and {} mask AP on tiles": _demo("detection, held-out tiles", "box AP", "mask AP"),
        "after {} s of training": _demo("detection, training", "time"),
        "{} and {} on nuclei of another laboratory": _demo(
            "detection, nuclei of another laboratory", "box AP", "mask AP"
        ),
        **SPEED,
        "| compiled blocks, float32 | {}x |": _runtime("compile float32"),
        "| ONNX Runtime, float32 | {}x |": _runtime("onnx float32"),
        "| OpenVINO, float32 | {}x |": _runtime("openvino float32"),
        "| OpenVINO, bfloat16 | {}x |": _runtime("openvino bfloat16"),
        "| OpenVINO, 8 bits | {}x |": _runtime("openvino int8"),
    },
    "docs/differences.md": {
        "| EVA's global attention, 80x80 tokens | {}x | {}x |": _ratios("backbone", "global attention, 1280 px"),
        "| pyramid, inference | {}x | {}x |": _ratios("pyramid", "pyramid, inference"),
        "| build and load the 1.07-billion-parameter detector | {}x | {}x |": _ratios(
            "build_and_load", "build and load"
        ),
        **SPEED,
        "takes {} s and {} GB with the billion-parameter detector": FULL_SIZE,
    },
    "docs/demos.md": {
        "{} % are classified correctly with the phrasings used in training": _demo(
            "clip, phrasings of the training", "top-1"
        ),
        "{} % with phrasings that training never saw": _demo("clip, held-out phrasings", "top-1"),
        "a single unseen phrasing gives {} to {} %": [
            *_demo("clip, the worst held-out phrasing alone", "top-1"),
            *_demo("clip, the best held-out phrasing alone", "top-1"),
        ],
        "{} % are correct (guessing: {} %)": _beside_guessing("video, samples"),
        "{} % in direction ({} %)": _beside_guessing("video, directions"),
        "{} % in speed ({} %)": _beside_guessing("video, speeds"),
        "in {} s and reaches {} % mIoU": [
            *_demo("segmentation, training", "time"),
            *_demo("segmentation, held-out regions", "mIoU"),
        ],
        "(nuclei {}, bacteria {};": [*_demo("segmentation, nuclei", "IoU"), *_demo("segmentation, bacteria", "IoU")],
    },
    "docs/howto/evaluate_published_weights.md": {
        "the billion-parameter detector takes {} s and {} GB for a photo": FULL_SIZE,
    },
    "docs/howto/pretrain_your_own.md": {
        "pre-trained and fine-tuned {} % in {} s of processor time": _demo(
            "classification, pre-trained and fine-tuned", "top-1", "processor time"
        ),
        "from scratch {} % in {} s": _demo("classification, from scratch", "top-1", "processor time"),
    },
}
