"""JSON objects that are read in parts have the values, and the errors, of `json`."""

import json
from pathlib import Path

import pytest

from eva_backbone.errors import InputError
from eva_engine import json_parts
from eva_engine.json_parts import ListPart, read_elements, read_members
from eva_engine.text_file import read_json

WORDS = "data file", "give another"
CONTENT = {
    "info": {"text": '}, {"a": [', "none": None, "é": "€" * 5},
    "images": [{"id": 1, "name": '"}, {"'}, {"id": 2.5e3, "list": [{}, {"a": 1}, {"b": []}]}, {"id": -0, "n": "\\"}],
    "numbers": [1, -2.5, 1e5, 12345678901234567890123, True, None, "x"],
    "empty": [],
    "last": float("inf"),
}


@pytest.fixture(params=[8, 50, 10**6], autouse=True)
def window(request, monkeypatch):
    monkeypatch.setattr(json_parts, "_WINDOW", request.param)
    monkeypatch.setattr(json_parts, "_TAIL", 3 * request.param)


def _read(path: Path) -> dict:
    """Join the parts, and check that each can be read again."""
    content: dict = {}
    for name, part in read_members(path, *WORDS):
        if not isinstance(part, ListPart):
            content[name] = part.value
            continue
        if part.is_first:
            content[name] = []
        content[name] += part.elements
        if part.elements:
            assert read_elements(path, part.start, part.end, WORDS[1]) == part.elements
    return content


@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])
def test_values(tmp_path, options):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(CONTENT, **options), encoding="utf-8")
    assert _read(path) == CONTENT
    path.write_text(" \n" + json.dumps(CONTENT, **options) + "\n", encoding="utf-8-sig")
    assert _read(path) == CONTENT


def test_many_objects_are_parsed_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(json_parts, "_WINDOW", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [{"n": number, "x": [{}, {}]} for number in range(500)]}))
    parts = [part for _, part in read_members(path, *WORDS)]
    assert len(parts) > 5
    # Not those that end between the two empty objects, and not the last one.
    assert sum(not part.is_exact for part in parts) > len(parts) / 2
    assert [element["n"] for part in parts for element in part.elements] == list(range(500))


def test_the_last_of_two_lists_counts(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [{"b": 1}, {"b": 2}], "a": [{"b": 3}]}')
    assert _read(path) == {"a": [{"b": 3}]}


def _sentence(read, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value)


def test_a_file_that_is_cut_anywhere_has_the_error_of_json(tmp_path):
    data = json.dumps(CONTENT, indent=1, ensure_ascii=False).encode()
    path = tmp_path / "a.json"
    for end in range(0, len(data) - 1, 3):
        path.write_bytes(data[:end])
        expected = _sentence(lambda path: read_json(path, *WORDS), path)
        assert _sentence(_read, path) == expected, data[:end]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{1: 2}",
        '{"a" 1}',
        '{"a": }',
        '{"a": 1 "b": 2}',
        '{"a": 1}}',
        '{"a": [1 2]}',
        '{"a": [{}, {} {}, {}]}',
        '{"a": [{"b": 01}, {}]}',
        '{"a": [{"b": "\t"}, {}]}',
        '{"a": [' + "1" * 5000 + "]}",
        '{"a": [' + "[" * 10**5,
        '{"a": ' + "[" * 10**5,
    ],
)
def test_errors_of_json(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert _sentence(_read, path) == _sentence(lambda path: read_json(path, *WORDS), path)


def test_other_encodings_and_values(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"a": ["é"]}'.encode("latin-1"))
    assert "not UTF-8 text (byte 0xe9 cannot be decoded)" in _sentence(_read, path)
    path.write_text("[1, 2]")
    assert [(name, part.value) for name, part in read_members(path, *WORDS)] == [(None, [1, 2])]
    assert "no such data file" in _sentence(_read, tmp_path / "none.json")
