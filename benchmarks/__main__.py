"""Run every side-by-side script once in short form: `python -m benchmarks`, or `make bench`.

The figures in RESULTS.md come from the scripts' full forms, on a quiet machine.
"""

import subprocess
import sys

SHORT_FORMS = (
    ("backbone", "--rounds", "1"),
    ("classifier", "--rounds", "1", "--size", "224"),
    ("clip_encode", "--rounds", "1"),
    ("contrastive_loss", "--rounds", "1", "--pairs", "4096"),
    ("video_attention", "--rounds", "1"),
    ("video_decoding", "--rounds", "1", "--sets", "1"),
    ("deformable_attention", "--rounds", "1", "--size", "224"),
    ("mask2former_decoder", "--rounds", "1", "--size", "448"),
    ("slide_inference", "--rounds", "1", "--model", "none"),
    ("pyramid", "--rounds", "1"),
    ("soft_nms", "--rounds", "3"),
    ("coco_evaluation", "--rounds", "1"),
    ("train_loader", "--rounds", "1", "--batches", "10"),
    ("gradient_accumulation", "--rounds", "1"),
    ("activation_checkpointing", "--rounds", "1"),
    ("checkpoint_write", "--rounds", "1", "--share", "0.02"),
    ("plan_memory",),
    ("build_and_load", "--rounds", "1"),
    ("full_size_inference",),
)


def main() -> int:
    failed = []
    for name, *options in SHORT_FORMS:
        print(f"== {name} {' '.join(options)}", flush=True)
        if subprocess.run([sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *options]).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
