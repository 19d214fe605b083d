"""Unreadable, turned, wrongly sized and repeated images are found; images without a flaw give no finding."""

import shutil

import numpy as np
import pytest
from made_images import HEIGHT, WIDTH, made_image, write_images
from PIL import Image

from eva_engine.data_check.duplicates import exact_groups, near_groups
from eva_engine.data_check.image_findings import check_images
from eva_engine.data_check.image_scan import ImageSource, perceptual_hash, scan_images


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path, range(6))
    return tmp_path


def _findings(folder, validation: str = "[5]*", **keywords) -> dict:
    parts = {"training": "[01234]*", "validation": validation}
    scans = {}
    for part, pattern in parts.items():
        files = sorted(folder.glob(pattern))
        scans[part] = scan_images([ImageSource(str(file), **keywords) for file in files], part)
    return {finding.code: finding for finding in check_images(scans)}


def test_nothing_in_images_without_flaw(folder):
    assert _findings(folder, size=(WIDTH, HEIGHT)) == {}


def test_unreadable(folder):
    content = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(content[: len(content) // 2])
    (finding,) = _findings(folder).values()
    assert (finding.code, finding.severity, finding.count, finding.source) == (
        "unreadable-images",
        "error",
        1,
        "training",
    )
    assert finding.what == "1 of 5 images cannot be read"
    (example,) = finding.examples
    assert example.file == str(folder / "1.png")
    assert example.text.startswith("not a readable image file")


def test_missing_file():
    (scan,) = scan_images([ImageSource("absent.png")], "training")
    assert scan.problem.startswith("absent.png: no such image file")


def test_other_size(folder):
    made_image(1, (50, 40)).save(folder / "1.png")
    (finding,) = _findings(folder, size=(WIDTH, HEIGHT)).values()
    assert (finding.code, finding.severity, finding.count) == ("other-size", "error", 1)
    assert finding.examples[0].text == f"50x40 pixels, annotated as {WIDTH}x{HEIGHT}"
    assert finding.examples[0].draw().shape == (40, 50, 3)
    assert "orientation tag" not in finding.fix


def test_swapped_sides(folder):
    (finding,) = _findings(folder, size=(HEIGHT, WIDTH)).values()
    assert finding.code == "other-size"
    assert f"annotation says, {finding.count} of them with width and height swapped" in finding.what
    assert "orientation tag" not in finding.fix


def test_orientation_tag(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    made_image(1).save(folder / "1.png", exif=exif)
    findings = _findings(folder, size=(WIDTH, HEIGHT))
    assert {code: (f.severity, f.count) for code, f in findings.items()} == {
        "orientation-tags": ("note", 1),
        "other-size": ("error", 1),  # the annotation was made on the stored pixels
    }
    assert "remove the orientation tag" in findings["other-size"].fix
    assert findings["other-size"].examples[0].text == f"{HEIGHT}x{WIDTH} pixels, annotated as {WIDTH}x{HEIGHT}"


def test_duplicates(folder):
    shutil.copy(folder / "1.png", folder / "1_copy.png")
    (finding,) = _findings(folder).values()
    assert (finding.code, finding.severity, finding.count) == ("duplicates", "warning", 1)
    assert finding.examples[0].text == f"like {folder / '1_copy.png'}"
    assert finding.examples[0].draw().shape == (HEIGHT, 2 * (WIDTH + 4), 3)


def test_near_duplicates(folder):
    made_image(1, (2 * WIDTH, 2 * HEIGHT)).save(folder / "1_larger.jpg", quality=50)
    (finding,) = _findings(folder).values()
    assert (finding.code, finding.severity, finding.count) == ("near-duplicates", "note", 1)


def test_leakage(folder):
    shutil.copy(folder / "1.png", folder / "5_copy.png")
    made_image(2).save(folder / "5_again.jpg", quality=60)
    findings = _findings(folder)
    assert {code: (f.severity, f.count) for code, f in findings.items()} == {
        "leakage": ("error", 1),
        "near-leakage": ("warning", 1),
    }
    assert findings["leakage"].examples[0].text == f"like {folder / '5_copy.png'} (training and validation)"


def test_contradicting_labels(folder):
    shutil.copy(folder / "1.png", folder / "5_copy.png")
    scans = {
        "training": scan_images([ImageSource(str(folder / "1.png"), label="cat")], ""),
        "validation": scan_images([ImageSource(str(folder / "5_copy.png"), label="dog")], ""),
    }
    found = {finding.code: finding for finding in check_images(scans)}
    assert set(found) == {"contradicting-labels", "leakage"}
    assert found["contradicting-labels"].examples[0].text == f"'cat' here, 'dog' as {folder / '5_copy.png'}"


def test_flat_images_are_not_compared(tmp_path):
    for number, grey in enumerate((0, 128)):
        Image.new("RGB", (40, 40), (grey,) * 3).save(tmp_path / f"{number}.png")
    assert _findings(tmp_path) == {}


def test_groups():
    assert exact_groups([b"a", b"", b"b", b"a", b"", b"a"]) == [[0, 3, 5]]
    assert near_groups([None, 7]) == []
    values = [0b111, None, 0, 1 << 63 | 1 << 40, 0b1111 << 20, (1 << 63) - 1]
    assert near_groups(values) == [[0, 2, 3]]  # 0 and 4 differ in four bits


def test_near_groups_find_every_pair():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**63, 300, dtype=np.uint64).tolist()
    for index in range(100):
        flipped = values[index]
        for bit in rng.choice(64, 3, replace=False).tolist():
            flipped ^= 1 << bit
        values[200 + index] = flipped
    assert near_groups(values) == [[index, 200 + index] for index in range(100)]


def test_perceptual_hash_is_stable():
    small, large = perceptual_hash(made_image(3)), perceptual_hash(made_image(3, (4 * WIDTH, 4 * HEIGHT)))
    other = perceptual_hash(made_image(4))
    assert (small ^ large).bit_count() <= 3
    assert (small ^ other).bit_count() > 10
