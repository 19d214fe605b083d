"""Results of the demos of the five tasks: accuracy on held-out data, training time. There is no peer.

All demos take about eight minutes on two cores. Each writes to a temporary folder.

    python -m benchmarks.demos [--only clip video] [--iterations 20]
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .harness.figure import Figure, record, show_value


@dataclass(frozen=True)
class Reading:
    """A figure in the output of a demo: the first number of the pattern; a second number is that of `peer`."""

    name: str
    quantity: str
    unit: str
    pattern: str
    peer: str = ""


NUMBER = r"(\d+(?:\.\d+)?)"
SECONDS = Reading("training", "time", "s", f"Training took {NUMBER} s")
DEMOS = {
    "detection": [
        Reading("held-out tiles", "box AP", "AP", f"held-out HeLa nuclei, boxes +{NUMBER}"),
        Reading("held-out tiles", "mask AP", "AP", f"held-out HeLa nuclei, masks +{NUMBER}"),
        Reading("nuclei of another laboratory", "box AP", "AP", f"other nuclei, boxes +{NUMBER}"),
        Reading("nuclei of another laboratory", "mask AP", "AP", f"other nuclei, masks +{NUMBER}"),
        SECONDS,
    ],
    "classification": [
        Reading("pre-trained and fine-tuned", "top-1", "%", f"then fine-tuned +{NUMBER}%"),
        Reading("pre-trained and fine-tuned", "processor time", "s", f"then fine-tuned +[\\d.]+% +{NUMBER} s"),
        Reading("from scratch", "top-1", "%", f"from scratch +{NUMBER}%"),
        Reading("from scratch", "processor time", "s", f"from scratch +[\\d.]+% +{NUMBER} s"),
    ],
    "clip": [
        Reading("phrasings of the training", "top-1", "%", f"training phrasings, averaged +{NUMBER}%"),
        Reading("held-out phrasings", "top-1", "%", f"held-out phrasings, averaged +{NUMBER}%"),
        Reading("the worst held-out phrasing alone", "top-1", "%", f"on average, {NUMBER} % to"),
        Reading("the best held-out phrasing alone", "top-1", "%", f"on average, [\\d.]+ % to {NUMBER} %"),
        Reading("training and evaluation", "time", "s", f"{NUMBER} s; figures"),
    ],
    "video": [
        Reading(
            name, "top-1", "%", f"{NUMBER}% of \\d+ held-out {name} are right; guessing gives {NUMBER}%", "guessing"
        )
        for name in ("samples", "directions", "speeds")
    ]
    + [Reading("training", "processor time", "s", f"Processor time: {NUMBER} s")],
    "segmentation": [
        Reading("held-out regions", "mIoU", "%", f"  mIoU +{NUMBER}"),
        Reading("nuclei", "IoU", "%", f"  IoU nucleus +{NUMBER}"),
        Reading("bacteria", "IoU", "%", f"  IoU bacterium +{NUMBER}"),
        SECONDS,
    ],
}


def read_text(task: str, text: str) -> list[Figure]:
    """Return the figures in the output of the demo of `task`, a key of `DEMOS`.

    Raises:
        ValueError: If a figure is missing.
    """
    figures = []
    for reading in DEMOS[task]:
        match = re.search(reading.pattern, text)
        if match is None:
            raise ValueError(f"the demo of {task} printed no {reading.quantity} of {reading.name}")
        ours, *theirs = map(float, match.groups())
        title = f"{task}, {reading.name}"
        peer = theirs[0] if theirs else None
        figures.append(Figure(title, reading.quantity, reading.unit, ours, reading.peer, peer, relation=""))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(DEMOS), default=list(DEMOS))
    parser.add_argument("--iterations", help="iterations of each training, for a quick test")
    args = parser.parse_args()
    options = ["--iterations", args.iterations] if args.iterations else []
    for task in args.only:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tools",
                f"demo-{task}",
                "--output",
                str(Path(folder, task)),
            ]
            text = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, text=True).stdout
        for figure in read_text(task, text):
            print(f"{figure.name}: {figure.quantity} {show_value(figure.ours, figure.unit)}", flush=True)
            record(figure)


if __name__ == "__main__":
    main()
