"""Which files are used, skipped or refused, and the names of their results."""

from pathlib import Path

import pytest

from eva_backbone.errors import InputError
from eva_engine.prediction import list_inputs

pytestmark = pytest.mark.usefixtures("_folder")


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "in/b.PNG in/a.jpg in/a.png in/A.mp4 in/notes.txt in/sub/a.tif in/out/old.jpg x.jpg other/X.png"
    for name in names.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("paths", "recursive", "stems", "num_skipped"),
    [
        # A.mp4, a.jpg and a.png would have the same name on file systems that ignore case
        (["in"], False, ["A", "a_2", "a_3", "b"], 2),
        (["in"], True, ["A", "a_2", "a_3", "b", "sub/a"], 2),  # in/out holds earlier results
        (["x.jpg", "in/b.PNG", "./x.jpg"], False, ["x", "b"], 0),  # the same file twice
        (["in/sub", "in/a.jpg"], False, ["a", "a_2"], 0),
        (["x.jpg", "other"], False, ["x", "X_2"], 0),
    ],
)
def test_files_and_their_result_names(paths, recursive, stems, num_skipped):
    found = list_inputs(paths, "in/out", recursive)
    assert [item.stem for item in found.inputs] == stems
    assert found.num_skipped == num_skipped
    assert found.unusable == []
    assert {item.path.name: item.kind for item in found.inputs}.get("A.mp4", "video") == "video"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.jpg", "no such file"),
        ("in/notes.txt", "not a known image or video suffix"),
        ("/dev/zero", "not a regular file"),
    ],
)
def test_named_but_unusable(path, reason):
    found = list_inputs([path, "x.jpg"], "out")
    assert [item.stem for item in found.inputs] == ["x"]
    assert len(found.unusable) == 1
    assert found.unusable[0].startswith(f"{Path(path)}: ")
    assert reason in found.unusable[0]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("file:///tmp/x.jpg", "file:///tmp/x.jpg"),
        ("ftp://name:secret@example.org/a.mp4", "ftp://example.org/a.mp4"),
        ("s3://bucket/a=1", "s3://bucket/a=1"),
        ("ftp://[", "ftp://["),
    ],
)
def test_an_address_of_another_kind(address, shown):
    reason = "addresses of this kind are not supported; give the path of a file, or an address with http, https, rtsp"
    assert list_inputs([address], None).unusable == [f"{shown}: {reason} or rtsps"]


def test_a_file_with_the_name_of_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ftp:").mkdir()
    Path("ftp:/a.png").touch()
    assert [str(item.path) for item in list_inputs(["ftp://a.png"], None).inputs] == ["ftp:/a.png"]


@pytest.mark.parametrize(("path", "output"), [("in", "in"), ("in/a.jpg", "in"), ("in/sub/a.tif", "in"), ("x.jpg", ".")])
def test_results_never_go_where_inputs_are(path, output):
    with pytest.raises(InputError, match="--output"):
        list_inputs([path], output)


def test_hidden_files_in_folders_are_skipped_and_counted(tmp_path):
    for name in ("a.jfif", "._a.png", ".cache/b.png", "__MACOSX/c.png", "sub/d.png"):
        (tmp_path / "hidden" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hidden" / name).touch()
    found = list_inputs([tmp_path / "hidden"], tmp_path / "out", recursive=True)
    assert [item.path.name for item in found.inputs] == ["a.jfif", "d.png"]
    assert found.num_skipped == 1
    named = list_inputs([tmp_path / "hidden" / "._a.png"], tmp_path / "out")
    assert [item.path.name for item in named.inputs] == ["._a.png"]
