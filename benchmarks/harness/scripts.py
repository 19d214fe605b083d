"""List of the scripts: what each measures, and the options of its short and full form."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Script:
    """A script of this folder and how to run it.

    Attributes:
        name: Name of the module in `benchmarks`.
        title: Description of what is measured.
        short, full: Options of the short and the full form.
        limit: Time limit of the short form in seconds; that of the full form is ten times as long.
        needs_gpu: Whether the script is left out on a machine without a CUDA device.
    """

    name: str
    title: str
    short: tuple[str, ...] = ("--rounds", "1")
    full: tuple[str, ...] = ()
    limit: int = 300
    needs_gpu: bool = False


ALL_SCRIPTS = (
    Script("backbone", "The detection backbone: stock Detectron2's ViT and ours", limit=1500),
    Script("pyramid", "The feature pyramid: stock Detectron2's and ours"),
    Script("build_and_load", "Building the detector and loading 4.3 GB: Detectron2 and ours", limit=600),
    Script("full_size_inference", "One photo through the billion-parameter detector", (), limit=900),
    Script("full_size_eva02", "One photo through EVA-02-L's detector", (), limit=900),
    Script("low_precision", "Weights in bfloat16 and in float32, for every task", (), ("--blocks", "0"), limit=1500),
    Script("plan_memory", "Peak memory of training steps: measured and predicted", (), limit=900),
    Script(
        "checkpoint_write",
        "Saving a run: a plain write of the same bytes and ours",
        ("--rounds", "1", "--fraction", "0.02"),
        ("--rounds", "7", "--fraction", "0.05"),
    ),
    Script("gradient_accumulation", "A step of 16 images: at once by Detectron2's trainer and in eight parts by ours"),
    Script(
        "compile",
        "Transformer blocks: uncompiled, and compiled by torch.compile",
        ("--rounds", "3", "--depth", "3"),
        limit=1200,
    ),
    Script("activation_checkpointing", "What saves activations, and what it costs"),
    Script(
        "train_loader",
        "The training loader: Detectron2's and ours",
        ("--rounds", "1", "--batches", "10"),
        ("--rounds", "3"),
    ),
    Script(
        "large_annotations",
        "An annotation file of the size of Objects365: the first and the second opening",
        ("--images", "34000", "--boxes", "500000"),
        limit=600,
    ),
    Script("coco_evaluation", "COCO evaluation: pycocotools and hotcoco, the default"),
    Script("soft_nms", "Soft-NMS of 1,000 boxes x 80 classes: torchvision's hard NMS and ours", ("--rounds", "3")),
    Script("classifier", "The classifier: timm's and ours", ("--rounds", "1", "--size", "224")),
    Script(
        "eva02",
        "EVA-02-L: timm's, the plain formula, and ours",
        ("--rounds", "1", "--side", "1024"),
        limit=600,
    ),
    Script("clip_encode", "EVA-CLIP's encoders: open_clip's and ours"),
    Script(
        "contrastive_loss",
        "The contrastive loss: open_clip's and ours in tiles",
        ("--rounds", "1", "--pairs", "8192"),
    ),
    Script("video_attention", "Attention over 16 frames: the formula written out and ours"),
    Script("video_decoding", "Frames of a video: decord and ours", ("--rounds", "2", "--sets", "2")),
    Script(
        "deformable_attention",
        "Deformable attention and the pixel decoder: transformers' and ours",
        ("--rounds", "1", "--size", "224"),
    ),
    Script(
        "mask2former_decoder",
        "Mask2Former's transformer decoder: transformers' and ours",
        ("--rounds", "1", "--size", "448"),
    ),
    Script("slide_inference", "Sliding windows: one at a time and ours", ("--rounds", "1", "--model", "none")),
    Script(
        "predict_folder",
        "A folder of photos through predict: one after another and overlapped",
        ("--rounds", "1", "--photos", "8", "--megapixels", "12", "--batch-size", "1"),
    ),
    Script("large_inputs", "predict on much input: many photos, a folder of 200,000, many objects", (), limit=1200),
    Script("startup", "Start-up of the commands: importing their packages, and ours", limit=600),
    Script(
        "busy_machine",
        "A training step: threads that spin while they wait, and ours that sleep",
        ("--rounds", "1", "--steps", "3"),
        limit=600,
    ),
    Script(
        "first_hour",
        "Own photos from random weights in the same processor time: torchvision's smallest Faster R-CNN and tiny_cpu",
        ("--only", "nuclei", "--iterations", "20"),
        limit=1500,
    ),
    Script(
        "runtimes",
        "Exported models on the CPU: PyTorch and ONNX Runtime, OpenVINO in float32, bfloat16 and 8 bits",
        ("--rounds", "1", "--depth", "3", "--only", "backbone"),
        limit=2400,
    ),
    Script("gpu", "On a GPU, in bfloat16: stock Detectron2, timm, open_clip and ours", (), needs_gpu=True),
    Script("demos", "The demos' results: trained on the CPU from random weights", (), limit=2400),
)
