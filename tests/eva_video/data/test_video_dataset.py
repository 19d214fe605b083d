"""Annotation files in their published formats, and folders of frames."""

from pathlib import Path

import numpy as np
import pytest
from coded_clips import coded_image, read_codes
from PIL import Image

from eva_backbone.errors import InputError
from eva_video.data import VideoDataset
from eva_video.data.frame_folder import check_frame_pattern, read_frame_folder

KINETICS = "label,youtube_id,time_start,time_end,split\nabseiling,-abcdefghi_,1,11,train\nzumba,xyz,120.0,130.0,train\n"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "text", "options", "expected"),
    [
        ("list.txt", "a/b.mp4 3\n\nwith blank.mp4\t0\n", {}, [("a/b.mp4", 3, None), ("with blank.mp4", 0, None)]),
        ("list.txt", "some folder 120 7\n", {"has_frame_counts": True}, [("some folder", 7, 120)]),
        ("list.csv", 'path,label\n"a, b.mp4",2\n', {}, [("a, b.mp4", 2, None)]),
        ("list.csv", "\ufeffnum_frames,label,path\n16,4,x\n", {}, [("x", 4, 16)]),
        ("list.csv", "path,label\nx.mp4,zumba\n", {"classes": "k400"}, [("x.mp4", 399, None)]),
        ("list.csv", "path,label\nx.mp4,cat\n", {"classes": {"cat": 5}}, [("x.mp4", 5, None)]),
        ("list.csv", '"a, b.mp4",1\nc.mp4,0\n', {}, [("a, b.mp4", 1, None), ("c.mp4", 0, None)]),
        ("list.csv", "some clip.mp4 3\n", {}, [("some clip.mp4", 3, None)]),
        (
            "v1.csv",
            "100218;Holding something\n24413;Turning, then holding something\n",
            {"classes": ["Turning, then holding something", "Holding something"]},
            [("100218", 1, None), ("24413", 0, None)],
        ),
        (
            "v2.json",
            '[{"id": "7", "label": "moving a cup up", "template": "Moving [something] up", "placeholders": ["a cup"]}]',
            {"classes": {"Moving something up": 4}},
            [("7.webm", 4, None)],
        ),
        (
            "train.csv",
            KINETICS,
            {"classes": "k400"},
            [("abseiling/-abcdefghi__000001_000011.mp4", 0, None), ("zumba/xyz_000120_000130.mp4", 399, None)],
        ),
    ],
)
def test_published_lists(tmp_path, name, text, options, expected):
    records = VideoDataset(write(tmp_path / name, text), "root", **options)
    found = [(r["file_name"], r["label"], r.get("num_frames")) for r in (records[i] for i in range(len(records)))]
    assert found == [(f"root/{path}", label, frames) for path, label, frames in expected]


def test_names_of_classes_from_a_table(tmp_path):
    classes = write(tmp_path / "labels.csv", "id,name\n0,riding a bike\n1,air drumming\n")
    records = VideoDataset(write(tmp_path / "list.csv", "path,label\nx.mp4,air drumming\n"), classes=classes)
    assert records[0] == {"file_name": "x.mp4", "label": 1}


@pytest.mark.parametrize(
    ("name", "text", "options", "sentence"),
    [
        (
            "list.txt",
            "a.mp4 1\nb.mp4\n",
            {},
            "line 2 is not a path and a label; correct the line, or skip bad records",
        ),
        ("list.txt", "a.mp4 zumba\n", {}, "line 1 has the label 'zumba'; give a class index"),
        ("list.txt", "a.mp4 -1\n", {}, "has the label '-1'"),
        ("list.txt", "a many 1\n", {"has_frame_counts": True}, "line 1 has 'many' frames"),
        ("list.csv", "label,video\n1,a.mp4\n", {}, "has no header with the columns path and label"),
        ("list.csv", "a.mp4,1,2\n", {}, "line 1 has the label '1,2'"),
        ("list.json", '[{"id": "5"}]', {}, "entry 1 is not a path and a label"),
        ("list.json", "{}", {}, "entry 1 is not a path and a label"),
        ("list.csv", "path,label\nonly\n", {}, "line 2 has 1 cells, but the header has 2"),
        ("list.csv", f"path,label\n{'x' * 2_000_000},1\n", {}, "line 2 cannot be read .field larger than field limit"),
        ("train.csv", KINETICS.replace("120.0", "inf"), {"classes": "k400"}, "line 3 is not a path and a label"),
        ("list.txt", f"a.mp4 {'1' * 5000}\n", {}, "line 1 has the label '111"),
        ("list.txt", f"a {'1' * 5000} 3\n", {"has_frame_counts": True}, r"line 1 has '1{300,}\.\.\.; correct"),
        ("list.txt", "a 0 3\n", {"has_frame_counts": True}, "line 1 has '0' frames"),
        ("list.txt", "\n", {}, "lists no video"),
        ("list.txt", "a.mp4 9\n", {"num_classes": 4}, "has 10 classes, the model only 4; set the model's num_classes"),
        ("list.txt", "a.mp4 1\n", {"classes": "k401"}, "'k401' is not a set of Kinetics classes"),
        ("list.txt", "a.mp4 1\n", {"classes": ["cat", "cat"]}, "classes lists cat more than once"),
        ("list.txt", "a.mp4 1\n", {"classes": "gone.csv"}, "gone.csv: no such list of classes"),
    ],
)
def test_errors_in_lists_are_one_sentence(tmp_path, name, text, options, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        VideoDataset(write(tmp_path / name, text), **options)
    assert "\n" not in str(error.value)


def test_bad_lines_can_be_left_out(tmp_path, caplog):
    records = VideoDataset(write(tmp_path / "list.txt", "a.mp4 1\nb.mp4\nc.mp4 x\n"), on_error="skip")
    assert len(records) == 1
    assert "line 2" in caplog.text
    assert "2 bad record(s) skipped" in caplog.text


def test_a_missing_list(tmp_path):
    with pytest.raises(InputError, match=r"gone\.txt: no such list of videos; check its path"):
        VideoDataset(str(tmp_path / "gone.txt"))


@pytest.fixture
def frame_folder(tmp_path: Path) -> str:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(coded_image(number)).save(folder / f"img_{number + 1:05d}.png")
    return str(folder)


@pytest.mark.parametrize(("num_frames", "total"), [(None, 12), (5, 5)])
def test_frames_of_a_folder(frame_folder, num_frames, total):
    clip = read_frame_folder(
        frame_folder, "img_{:05d}.png", lambda n: np.array([n - 1, 0, 3, 3]), num_frames=num_frames
    )
    assert clip.num_frames == total
    assert read_codes(clip.frames) == [total - 1, 0, 3, 3]


@pytest.mark.parametrize(
    ("pattern", "num_frames", "sentence"),
    [
        ("frame{}.png", None, r"has no frame frame1\.png; check the folder"),
        ("img_{:05d}.png", 20, r"img_00020\.png: no such image file"),
        ("img_{:05d}.png", 7, r"img_00007\.png: not a readable image"),
    ],
)
def test_frames_that_are_missing(frame_folder, pattern, num_frames, sentence):
    Path(frame_folder, "img_00007.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=sentence):
        read_frame_folder(frame_folder, pattern, lambda n: np.array([n - 1]), num_frames=num_frames)


def test_invalid_folders_and_patterns(tmp_path, frame_folder):
    for name in ("gone", "zero\0byte"):
        with pytest.raises(InputError, match="no such folder of frames"):
            read_frame_folder(str(tmp_path / name), "{}.png", np.arange)
    Image.fromarray(coded_image(0)[:20]).save(Path(frame_folder, "img_00002.png"))
    with pytest.raises(InputError, match=r"img_00002\.png: its size differs from"):
        read_frame_folder(frame_folder, "img_{:05d}.png", np.arange)
    for pattern in ("img.png", "{name}.png", "{", "{}{}"):
        with pytest.raises(InputError, match="has no placeholder for the number"):
            check_frame_pattern(pattern)


@pytest.mark.parametrize("name", ["img_00099.png", "img_00014.png", "img_00000.png", "img_00013.jpg", "img_00013.TIF"])
def test_frames_before_or_after_a_gap_or_with_another_suffix_are_not_left_out_in_silence(frame_folder, name):
    Path(frame_folder, name).touch()
    number = int(name[4:9])
    with pytest.raises(
        InputError, match=rf"no frame img_00013\.png, but 1 others such as number {number}; number them"
    ):
        read_frame_folder(frame_folder, "img_{:05d}.png", np.arange)
    assert read_frame_folder(frame_folder, "img_{:05d}.png", np.arange, num_frames=12).num_frames == 12


@pytest.mark.parametrize("name", ["flow_00013.png", "img_13.png", "img_00003.jpg", "img_00013.txt", "img_00013_x.png"])
def test_other_files_next_to_frames_are_not_frames(frame_folder, name):
    Path(frame_folder, name).touch()
    assert read_frame_folder(frame_folder, "img_{:05d}.png", np.arange).num_frames == 12


def test_frames_are_ordered_by_number(tmp_path):
    for number in range(12):
        Image.fromarray(coded_image(number)).save(tmp_path / f"7{number + 1}x.png")
    assert read_codes(read_frame_folder(str(tmp_path), "7{}x.png", np.arange).frames) == list(range(12))


def test_lists_split_lines_only_at_line_ends(tmp_path):
    paths = ["a\u2028b.mp4", "c\x85d.mp4", "e\x0bf.mp4", "g\x0ch.mp4"]
    for name, text in (
        ("list.txt", "\r".join(f"{path} 1" for path in paths)),
        ("LIST.CSV", "\r\n".join(["Path,Label", *(f"{path},1" for path in paths)])),
    ):
        records = VideoDataset(write(tmp_path / name, text))
        assert [records[i]["file_name"] for i in range(len(records))] == paths


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("list.csv", "path,label\na, b.mp4,2\n", "line 2 has 3 cells, but the header has 2"),
        ("list.csv", 'path,label\n"a.mp4,2\nb.mp4,3\n', "lines 2 to 3 cannot be read .unexpected end of data"),
        ("list.csv", "path,label,label\na.mp4,2,3\n", "has 2 columns named 'label'"),
        ("list.csv", "path,label\na\0.mp4,2\n", "line 2 has a NUL character"),
        ("list.csv", "path,label\n,2\n", "line 2 is not a path and a label"),
        ("list.txt", "a.mp4, 2\n", "line 1 is not a path and a label"),
        ("list.txt", "\udcff.mp4 2\n", r"not UTF-8 text \(byte 0xff"),
        ("list.csv", "path,label\n\udcff,2\n", r"not UTF-8 text \(byte 0xff"),
    ],
)
def test_no_line_of_a_list_is_cut_or_joined_in_silence(tmp_path, name, text, sentence):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=sentence) as error:
        VideoDataset(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_videos_that_are_listed_twice_are_counted(tmp_path, caplog):
    assert len(VideoDataset(write(tmp_path / "list.txt", "a.mp4 1\nb.mp4 1\na.mp4 2\n"))) == 3
    assert "1 video(s) are listed several times, and used as often, such as a.mp4" in caplog.text


def test_two_classes_with_one_name_in_a_table(tmp_path):
    classes = write(tmp_path / "labels.csv", "id,name\n0,cat\n1,cat\n")
    with pytest.raises(InputError, match="line 3 is not a class of its own"):
        VideoDataset(write(tmp_path / "list.txt", "a.mp4 1\n"), classes=classes)
