"""Opening an annotation file of the size of Objects365 in a run of two processes with two loader workers each.

The file, and an empty file for each image, are made first. The first opening is that of a new run, the second one that
of a run that is started again: the ranks look up the dataset, build the training loader and take batches, without
reading images. Memory is that of all processes together; pages that they share are counted once (PSS).

    python -m benchmarks.large_annotations [--images 1700000] [--boxes 25000000] [--folder DIR]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import psutil

from .harness.figure import Figure, record

NUM_RANKS, NUM_WORKERS, BATCH_SIZE, NUM_BATCHES = 2, 2, 16, 8
REPOSITORY = Path(__file__).resolve().parents[1]
ANNOTATIONS = "Objects365/annotations/zhiyuan_objv2_train.json"
RANK = "LARGE_ANNOTATIONS_RANK"  # environment variable of a measured process
OPENING = "LARGE_ANNOTATIONS_OPENING"  # and its opening, "first" or "second"
MIB = 2**20
PAUSE = 2.0  # seconds between two looks at the memory, which stop the process for a moment


def make_data(root: Path, num_images: int, num_boxes: int) -> None:
    """Write the annotation file and the empty images that it lists, unless they exist."""
    file = root / ANNOTATIONS
    if file.exists():
        return
    file.parent.mkdir(parents=True)
    script = REPOSITORY / "datasets/synthetic_objects365.py"
    numbers = ["--images", str(num_images), "--boxes", str(num_boxes)]
    subprocess.run([sys.executable, script, file, *numbers], check=True, stderr=subprocess.DEVNULL)
    # As the script names them.
    for number in range(num_images):
        version = 1 if number % 2 else 2
        folder = root / f"Objects365/images/v{version}/patch{number % 51}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"objects365_v{version}_{number:08}.jpg").touch()


def keep(sample: dict) -> dict:
    """Map a sample to itself: nothing but the annotations is measured."""
    return sample


def open_as_rank(folder: Path) -> None:
    """Open the dataset in one process of the run, and print how long that took."""
    import torch.distributed as dist

    from detectron2_ext.data import get_dataset_dicts
    from eva_engine.data import build_train_loader
    from eva_engine.data.run_cache import caching_in

    rank = int(os.environ[RANK])
    # A new file for each opening: its name has the number of the process that started the ranks.
    meeting_point = f"file://{folder}/ranks_{os.getppid()}_{os.environ[OPENING]}"
    dist.init_process_group("gloo", init_method=meeting_point, rank=rank, world_size=NUM_RANKS)
    start, cpu_start = time.perf_counter(), time.process_time()
    with caching_in(folder / "run"):
        records = get_dataset_dicts("objects365_train")
        loader = build_train_loader(records, mapper=keep, total_batch_size=BATCH_SIZE, num_workers=NUM_WORKERS, seed=0)
        batches = iter(loader)
        ids = [sample["image_id"] for batch in islice(batches, NUM_BATCHES) for sample in batch]
    times = time.perf_counter() - start, time.process_time() - cpu_start
    print(json.dumps({"times": times, "ids": ids, "records": len(records)}), flush=True)
    dist.barrier()
    dist.destroy_process_group()


def measure(folder: Path, opening: str) -> tuple[float, float, float, list]:
    """Return wall seconds until the last rank has its batches, processor seconds and peak bytes of all, and ids."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.large_annotations", "--folder", str(folder)]
    environment = {**os.environ, "DETECTRON2_DATASETS": str(folder / "data"), OPENING: opening}
    ranks = []
    for rank in range(NUM_RANKS):
        ranks.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**environment, RANK: str(rank)}))
    peak = 0
    while any(process.poll() is None for process in ranks):
        peak = max(peak, sum(proportional_bytes(process.pid) for process in ranks))
        time.sleep(PAUSE)
    outputs = []
    for process in ranks:
        if process.returncode:
            raise SystemExit(process.returncode)
        outputs.append(json.loads(process.communicate()[0].splitlines()[-1]))
    seconds = max(output["times"][0] for output in outputs)
    cpu_seconds = sum(output["times"][1] for output in outputs)
    return seconds, cpu_seconds, peak, [output["ids"] for output in outputs]


def proportional_bytes(pid: int) -> int:
    """Return the proportional set size of a process and of those that it has started."""
    total = 0
    try:
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_full_info().pss
    except psutil.Error:  # it has just ended
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_700_000)
    parser.add_argument("--boxes", type=int, default=25_000_000)
    parser.add_argument("--folder", type=Path, help="where to make the data and the run; a temporary folder by default")
    args = parser.parse_args()
    if RANK in os.environ:
        open_as_rank(args.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        make_data(folder / "data", args.images, args.boxes)
        earlier: list = []
        for opening in ("first", "second"):
            seconds, cpu_seconds, peak, ids = measure(folder, opening)
            if earlier and ids != earlier:
                raise SystemExit("the order of the images differs between the openings")
            earlier = ids
            title = f"{args.images} images, {args.boxes} boxes, {opening} opening"
            print(f"{title}: {seconds:.1f} s, {cpu_seconds:.1f} processor s, {peak / MIB:.0f} MiB", flush=True)
            record(
                Figure(title, "time", "s", seconds, relation=""),
                Figure(title, "processor time", "s", cpu_seconds, relation=""),
                Figure(title, "memory", "MiB", peak / MIB, relation=""),
            )


if __name__ == "__main__":
    main()
