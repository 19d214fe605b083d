"""Read a JSON object of any size in parts: the lists in it are never in memory as a whole.

Elements are parsed by orjson, many at a time; where that fails, `json` parses them one by one. So every file gets the
same values, and the same errors, as from `json.loads`.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import orjson

from eva_backbone.errors import InputError

from .text_file import open_binary, parse_json, read_json

_WINDOW = 4 * 2**20  # bytes that are parsed at a time; their Python objects take ten times as much
_TAIL = 64 * 2**10  # bytes at the end of a window that are searched for the end of an element
_LONGEST_LITERAL = 16  # more than the characters of -Infinity, or of the end of a number that may be cut
_SPACE = re.compile(r"[ \t\n\r]*")
_SPACE_BYTES = re.compile(rb"[ \t\n\r]*")
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{)")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class ListPart:
    """Consecutive elements of a list of the file.

    Attributes:
        elements: The elements.
        start: Position of the first element in bytes.
        end: Position after the last element.
        is_first: Whether the list begins with this part. A later list of the same name replaces an earlier one.
        is_exact: Whether the elements are those of `json`; those of orjson have floats for integers above 64 bits.
    """

    elements: list[Any]
    start: int
    end: int
    is_first: bool
    is_exact: bool


@dataclass(frozen=True)
class OtherValue:
    """A value of the file that is not a list."""

    value: Any


def read_members(path: str | Path, kind: str, fix: str) -> Iterator[tuple[str | None, ListPart | OtherValue]]:
    """Yield the values of the object in a JSON file with their names, lists in parts of a few megabytes.

    Every list has at least one part, even if it is empty. If the file holds another value than an object, that is
    the only one, and its name is None.

    Args:
        path: The file: UTF-8, with or without a byte order mark.
        kind: Noun for the file in messages, such as "annotation file".
        fix: How to fix any problem.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    with open_binary(path, kind, fix) as file:
        reader = _Reader(file, str(path), fix)
        if reader.peek_value() == b"{":
            yield from reader.members()
            return
    yield None, OtherValue(read_json(path, kind, fix))


def read_elements(path: str | Path, start: int, end: int, fix: str, *, exact: bool = True) -> list[Any]:
    """Read the elements of a part again; see `ListPart` for the arguments.

    Raises:
        InputError: The file was changed since.
    """
    with open(path, "rb") as file:
        file.seek(start)
        content = b"[" + file.read(end - start) + b"]"
    if exact:
        return parse_json(content.decode("utf-8", "replace"), str(path), fix)
    return orjson.loads(content)


class _Reader:
    def __init__(self, file: BinaryIO, source: str, fix: str) -> None:
        self._file, self._source, self._fix = file, source, fix
        self._buffer = b""
        self._offset = 0  # position of the buffer in the file
        self._position = 0  # in the buffer
        self._at_end = False
        self._fill(_WINDOW)
        if self._buffer.startswith(codecs.BOM_UTF8):
            self._position = len(codecs.BOM_UTF8)

    def members(self) -> Iterator[tuple[str, ListPart | OtherValue]]:
        self._position += 1
        if self.peek_value() == b"}":
            self._position += 1
        else:
            yield from self._members()
        if self.peek_value():
            self._fail("Extra data", 0)

    def _members(self) -> Iterator[tuple[str, ListPart | OtherValue]]:
        while True:
            if self.peek_value() != b'"':
                self._fail("Expecting property name enclosed in double quotes", 0)
            key = self._value()
            if self.peek_value() != b":":
                self._fail("Expecting ':' delimiter", 0)
            self._position += 1
            if self.peek_value() == b"[":
                self._position += 1
                for part in self._parts():
                    yield key, part
            else:
                yield key, OtherValue(self._value())
            following = self.peek_value()
            if following not in (b",", b"}"):
                self._fail("Expecting ',' delimiter", 0)
            self._position += 1
            if following == b"}":
                return

    def peek_value(self) -> bytes:
        """Return the next byte that is not white space, without moving past it; empty at the end of the file."""
        while True:
            match = _SPACE_BYTES.match(self._buffer, self._position)
            self._position = match.end()  # type: ignore[union-attr]  # it matches nothing as well
            if self._position < len(self._buffer) or self._at_end:
                return self._buffer[self._position : self._position + 1]
            self._fill(_WINDOW)

    def _parts(self) -> Iterator[ListPart]:
        is_first = True
        if self.peek_value() == b"]":
            self._position += 1
            yield ListPart([], 0, 0, is_first=True, is_exact=True)
            return
        has_ended = False
        while not has_ended:
            self.peek_value()  # white space may have followed the last window
            self._fill(_WINDOW)
            part = self._objects(is_first)
            if part is None:
                part, has_ended = self._elements(is_first)
            is_first = False
            yield part

    def _objects(self, is_first: bool) -> ListPart | None:
        """Parse the objects up to the last one that ends in the buffer; None if they are not that simple."""
        search_from = max(self._position, len(self._buffer) - _TAIL)
        ends = list(_BETWEEN_OBJECTS.finditer(self._buffer, search_from))
        if not ends:
            return None
        end = ends[-1].start() + 1
        try:
            # A prefix of a list is valid only if it ends between two elements, so that no string needs to be searched
            # for braces.
            elements = orjson.loads(b"[" + self._buffer[self._position : end] + b"]")
        except orjson.JSONDecodeError:
            return None
        start = self._offset + self._position
        self._position = ends[-1].end()
        return ListPart(elements, start, self._offset + end, is_first, is_exact=False)

    def _elements(self, is_first: bool) -> tuple[ListPart, bool]:
        """Parse the elements in the buffer one by one; return them and whether the list has ended."""
        size = _WINDOW
        while True:
            text = self._text()
            elements, end, following, has_ended = self._scan(text)
            if elements:
                start = self._offset + self._position
                end = start + _num_bytes(text, end)
                self._position += _num_bytes(text, following)
                return ListPart(elements, start, end, is_first, is_exact=True), has_ended
            size *= 2
            self._fill(size)

    def _scan(self, text: str) -> tuple[list[Any], int, int, bool]:
        """Return the elements that are complete in `text`, the end of the last, what follows, and if the list ends."""
        elements: list[Any] = []
        end = following = 0
        while True:
            value, value_end = self._decode(text, following)
            if value_end is None:
                return elements, end, following, False
            delimiter = _skip_space(text, value_end)
            is_cut = not self._at_end and delimiter > len(text) - _LONGEST_LITERAL
            character = text[delimiter : delimiter + 1]
            if character not in (",", "]"):
                if is_cut:
                    return elements, end, following, False
                self._fail("Expecting ',' delimiter", _num_bytes(text, delimiter))
            elements.append(value)
            end = value_end
            following = delimiter + 1
            if character == "]":
                return elements, end, following, True
            following = _skip_space(text, following)
            if following == len(text) and not self._at_end:
                return elements, end, following, False

    def _value(self) -> Any:
        """Parse the value at the position, which is not a list."""
        size = _WINDOW
        while True:
            self._fill(size)
            text = self._text()
            value, end = self._decode(text, 0)
            if end is not None and (self._at_end or end <= len(text) - _LONGEST_LITERAL):
                self._position += _num_bytes(text, end)
                return value
            size *= 2

    def _decode(self, text: str, start: int) -> tuple[Any, int | None]:
        """Return the value at `start` and its end, or None if it may continue after the buffer."""
        try:
            return _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            in_string = error.msg.startswith(("Unterminated string", "Invalid \\"))
            if not self._at_end and (in_string or error.pos > len(text) - _LONGEST_LITERAL):
                return None, None
            self._fail(error.msg, _num_bytes(text, error.pos))
        except RecursionError as error:
            raise InputError(f"{self._source}: not valid JSON (nested too deeply); {self._fix}.") from error
        except ValueError as error:  # an integer of thousands of digits
            raise InputError(f"{self._source}: not valid JSON ({error}); {self._fix}.") from error

    def _text(self) -> str:
        """Return the rest of the buffer, without a character that is not complete."""
        return codecs.getincrementaldecoder("utf-8")().decode(self._buffer[self._position :], self._at_end)

    def _fill(self, size: int) -> None:
        """Read on until the buffer has at least `size` bytes after the position."""
        missing = size - (len(self._buffer) - self._position)
        if missing > 0 and not self._at_end:
            content = self._file.read(max(missing, _WINDOW))
            self._at_end = not content
            self._buffer = self._buffer[self._position :] + content
            self._offset += self._position
            self._position = 0

    def _fail(self, reason: str, distance: int) -> NoReturn:
        """Raise the error for the byte `distance` after the position, counted in characters from the file's start."""
        end = self._offset + self._position + distance
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        num_characters = num_lines = column = 0
        self._file.seek(0)
        while end > 0 and (content := self._file.read(min(end, _WINDOW))):
            end -= len(content)
            text = decoder.decode(content)
            num_characters += len(text)
            num_lines += text.count("\n")
            column = len(text) - text.rfind("\n") - 1 if "\n" in text else column + len(text)
        where = f"line {num_lines + 1} column {column + 1} (char {num_characters})"
        raise InputError(f"{self._source}: not valid JSON ({reason}: {where}); {self._fix}.")


def _skip_space(text: str, start: int) -> int:
    return _SPACE.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing as well


def _num_bytes(text: str, end: int) -> int:
    return end if text.isascii() else len(text[:end].encode("utf-8"))
