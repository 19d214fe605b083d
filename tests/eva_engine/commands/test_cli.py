"""Changes to the config that are given among the values of an option."""

import pytest

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, parse_with_overrides
from eva_engine.output_files import check_output_file, clear_output, output_file


def test_changes_are_distinguished_from_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.jpg").touch()
    long = f"model.prompts=[{'x' * 300}]"  # no file can have such a name
    parser = command_parser("")
    parser.add_argument("--input", nargs="+")
    parser.add_argument("opts", nargs="*")
    args = parse_with_overrides(parser, ["c=1", "--input", "a=b.jpg", "d.jpg", "e=2", long], "input")
    assert args.input == ["a=b.jpg", "d.jpg"]
    assert args.opts == ["c=1", "e=2", long]


def test_changes_are_distinguished_from_texts():
    parser = command_parser("")
    parser.add_argument("--labels", nargs="+")
    parser.add_argument("opts", nargs="*")
    texts = ["a cat", "E=mc2", "e.g. x=1", "a=b"]
    args = parse_with_overrides(parser, ["--labels", *texts, "model.visual.img_size=56"], texts=["labels", "templates"])
    assert args.labels == texts
    assert args.opts == ["model.visual.img_size=56"]


def test_an_output_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for output, sentence in (
        ("file", "is a file; name a folder"),
        ("file/below", r"cannot be created \(Not a directory\)"),
    ):
        with pytest.raises(InputError, match=sentence):
            clear_output(tmp_path / output, ())


def test_an_output_file_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        check_output_file(tmp_path)
    for num_bytes, sentence in (
        (2**60, "needs .* bytes and .* are free"),
        (0, "cannot be written"),
    ):
        with pytest.raises(InputError, match=sentence), output_file(tmp_path / "out.pth", num_bytes) as partial:
            raise PermissionError(13, f"{partial} is read-only")
    assert not list(tmp_path.iterdir())
