"""Read mutated tar shards, caption files and lists of videos: all intact pairs are found, or something is reported."""

import io
import itertools
import json
import logging
import random
import tarfile
import tempfile
from pathlib import Path

from eva_backbone.errors import InputError
from eva_clip.data import ShardDataset
from eva_clip.data.caption_files import read_captions
from eva_engine.data.corrupt_data import RecordErrors
from eva_video.data.annotation_files import read_annotations

ROWS = [(f"{number}.png", f"caption {number}") for number in range(6)]


def write_members(file: Path, members: list[tuple[str, bytes]], **options) -> str:
    with tarfile.open(file, "w", **options) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(file)


def write_seeds(folder: Path) -> list[Path]:
    """Write one intact file of each kind, each with six pairs, and return them."""
    objects = [{"image": image, "caption": text} for image, text in ROWS]
    images = [{"id": number, "file_name": image} for number, (image, _) in enumerate(ROWS)]
    annotations = [{"image_id": number, "caption": text} for number, (_, text) in enumerate(ROWS)]
    texts = {
        "t.csv": "image,caption\n" + "".join(f'{image},"{text}"\n' for image, text in ROWS),
        "t.tsv": "image\tcaption\n" + "".join(f"{image}\t{text}\n" for image, text in ROWS),
        "t.jsonl": "".join(json.dumps(record) + "\n" for record in objects),
        "t.json": json.dumps(objects),
        "coco.json": json.dumps({"images": images, "annotations": annotations}),
        "videos.csv": "path,label\n" + "".join(f'"{number}.mp4",{number}\n' for number in range(6)),
        "videos.txt": "".join(f"{number}.mp4 {number}\n" for number in range(6)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    members = [(f"{'d' * 120}{image}", bytes(700)) for image, _ in ROWS]
    members += [(name.replace(".png", ".txt"), b"caption") for name, _ in members]
    for name, layout in (("gnu.tar", tarfile.GNU_FORMAT), ("pax.tar", tarfile.PAX_FORMAT)):
        write_members(folder / name, members, format=layout)
    return [folder / name for name in (*texts, "gnu.tar", "pax.tar")]


def mutate(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    end = min(len(content), start + draw.choice((1, 1, 8, 512, 2000)))
    kind = draw.randrange(5)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[end:]
    if kind == 2:
        return content[:end] + content[start:]
    if kind == 3:
        return content[:start] + bytes(draw.choices(b'"\0,\n\t\r\\[]{}9\xff', k=end - start)) + content[end:]
    return content[:start] + bytes([content[start] ^ 1 << draw.randrange(8)]) + content[start + 1 :]


def count_pairs(file: Path, on_error: str) -> int:
    if file.suffix == ".tar":
        Path(f"{file}.index.npy").unlink(missing_ok=True)
        return len(ShardDataset(str(file), on_error=on_error))
    if file.stem == "videos":
        return len(read_annotations(str(file), None, False, on_error))
    captions = read_captions(file, "image", "caption", RecordErrors("captions", on_error))
    return sum(len(texts) for texts in captions.values())


def count_intact(file: Path, original: bytes) -> int:
    """Return how many rows of the file `original` are in `file` as they were, or how many pairs tarfile finds."""
    if file.suffix == ".json":
        return 0
    if file.suffix == ".tar":
        return _count_tar(file)
    rows = set(original.splitlines()[file.suffix in (".csv", ".tsv") :])
    return sum(row in rows for row in file.read_bytes().split(b"\n"))


def _count_tar(file: Path) -> int:
    names = set()
    try:
        with tarfile.open(file, "r:") as tar:
            names = {member.name for member in tar if member.isfile()}
    except Exception:
        return 0
    return sum(name.endswith(".png") and name.replace(".png", ".txt") in names for name in names)


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def run(rounds: int, seed: int) -> None:
    """Read `rounds` mutated files; an AssertionError means that intact pairs were lost without a message."""
    draw = random.Random(seed)
    log = _Messages()
    loggers = [logging.getLogger(name) for name in (None, "eva_engine", "eva_clip", "eva_video")]
    for logger in loggers:  # those of packages do not pass messages on once a run has set up its log
        logger.addHandler(log)
    try:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as mutated:
            for number, original in enumerate(itertools.islice(itertools.cycle(write_seeds(Path(folder))), rounds)):
                file = Path(mutated, original.name)
                file.write_bytes(mutate(original.read_bytes(), draw))
                for on_error in ("stop", "skip"):
                    log.texts.clear()
                    _check(
                        file, original.read_bytes(), on_error, log.texts, f"seed {seed}, round {number}, {file.name}"
                    )
    finally:
        for logger in loggers:
            logger.removeHandler(log)


def _check(file: Path, original: bytes, on_error: str, messages: list[str], case: str) -> None:
    try:
        num_pairs = count_pairs(file, on_error)
    except InputError as error:
        messages.append(str(error))
        num_pairs = 0
    assert all("\n" not in message for message in messages), (case, messages)
    assert num_pairs >= count_intact(file, original) or messages, (case, num_pairs)
