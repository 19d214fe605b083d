"""What an import left out or changed: counts of each flaw, and the files it was found in."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from eva_backbone.errors import InputError
from eva_engine.safe_text import printable

# Flaws of single objects. The object is left out or changed, its image stays. The keys are those of the report.
FLAWS = {
    "no_area": "objects without area, left out",
    "outside": "objects outside of their image, left out",
    "cut": "boxes beyond the border of their image, cut there",
    "bad_numbers": "objects whose coordinates cannot be read, left out",
    "no_class": "objects without a class, left out",
    "unknown_class": "objects of a class number without a name, left out",
    "no_image": "objects of an image that is not listed, left out",
    "not_an_area": "points, lines and other shapes without area, left out",
    "rotated": "rotated boxes, kept as polygons",
    "crowd": "objects marked as difficult or as a crowd, which are not trained on",
    "dropped_difficult": "objects marked as difficult, left out",
    "no_labels": "images without a label file, kept as images without objects",
    "other_path": "images found under another path than the annotations give",
}
_MAX_LISTED = 20
_MAX_CHARACTERS = 300


@dataclass
class Findings:
    """Findings of one import.

    Attributes:
        flaws: {key of `FLAWS`: {file: number of cases}}.
        bad_files: {file: why it cannot be used}; these are files as a whole, such as damaged XML or a missing image.
        notes: Sentences about the data as a whole, such as how pixels are counted.
    """

    flaws: dict[str, Counter[str]] = field(default_factory=dict)
    bad_files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, flaw: str, file: str) -> None:
        """Count a flaw, a key of `FLAWS`, of an object or image of `file`."""
        self.flaws.setdefault(flaw, Counter())[file] += 1

    def refuse(self, file: str, reason: object) -> None:
        """Record that a file as a whole cannot be used; of several reasons, the first one is kept."""
        self.bad_files.setdefault(file, printable(str(reason).rstrip("."), _MAX_CHARACTERS))

    def check_files(self, source: str, advice: str) -> None:
        """Raise one error that names the bad files.

        Args:
            source: Folder or file of the data, for the message.
            advice: How to leave these files out, such as "add --skip-bad".

        Raises:
            InputError: There are bad files.
        """
        if not self.bad_files:
            return
        listed = []
        for file, reason in self.bad_files.items():
            is_named = file in reason.split(" ")[0]  # messages about a file begin with its path
            listed.append(reason if is_named else f"{file}: {reason}")
        more = f"; and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
        or_skip = f", or {advice} to leave them out" if advice else ""
        raise InputError(
            f"{source}: {len(listed)} file(s) cannot be used: {'; '.join(listed[:_MAX_LISTED])}{more}; repair or "
            f"remove them{or_skip}."
        )

    def to_json(self) -> dict[str, object]:
        """Return the findings for the report, with all file names."""
        flaws = {}
        for key, files in self.flaws.items():
            flaws[key] = {"meaning": FLAWS[key], "count": files.total(), "files": dict(files.most_common())}
        return {"flaws": flaws, "bad_files": self.bad_files, "notes": self.notes}


def first_files(files: Mapping[str, int], max_files: int = 3) -> str:
    """Return the names of the files with most cases, for a table."""
    names = [f"{printable(name, 80)} ({count})" for name, count in Counter(files).most_common(max_files)]
    if len(files) > max_files:
        names.append(f"{len(files) - max_files} more files")
    return ", ".join(names)
