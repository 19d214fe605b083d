"""The report of an import: a table for the terminal, and the same with all file names as JSON."""

from collections import Counter
from typing import Any

from eva_engine.safe_text import printable
from eva_engine.text_layout import align_columns

from .findings import FLAWS, first_files
from .imported_data import ImportedData

_MAX_CLASSES = 40
_MAX_FILES = 10


def format_report(data: ImportedData) -> str:
    """Return what was imported as text: notes, a table of the classes in each part, and the flaws with file names."""
    parts = list(data.parts)
    objects = {part: data.count_objects(part) for part in parts}
    images = {part: _images_by_class(data.parts[part]) for part in parts}
    head = ["class"]
    total = ["all"]
    for part in parts:
        suffix = "" if part == "all" else f" in {part}"
        head += [f"objects{suffix}", f"images{suffix}"]
        total += [f"{objects[part].total():,}", f"{len(data.parts[part]['images']):,}"]
    rows = [head]
    everywhere = data.count_objects()
    names: list[str] = []
    unused: list[str] = []
    for name in data.class_names.values():
        (names if everywhere[name] else unused).append(name)
    for name in names[:_MAX_CLASSES]:
        row = [printable(name, 40)]
        for part in parts:
            row += [f"{objects[part][name]:,}", f"{images[part][name]:,}"]
        rows.append(row)
    if len(names) > _MAX_CLASSES:
        rows.append([f"{len(names) - _MAX_CLASSES} more classes", *[""] * (len(head) - 1)])
    rows.append(total)
    table = [f"  {line}" for line in align_columns(rows, numbers_right=True)]
    lines = [f"{printable(data.source)}: {printable(data.findings.notes[0])}", *table]
    if unused:
        more = ", ..." if len(unused) > _MAX_FILES else ""
        lines.append(f"{len(unused):,} classes without objects: {printable(', '.join(unused[:_MAX_FILES]))}{more}")
    for key, files in data.findings.flaws.items():
        lines.append(f"{files.total():,} {FLAWS[key]}: {first_files(files)}")
    if data.findings.bad_files:
        lines.append(f"{len(data.findings.bad_files):,} files that cannot be used, left out:")
        bad = list(data.findings.bad_files.items())
        for file, reason in bad[:_MAX_FILES]:
            lines.append(f"  {printable(file, 80)}: {printable(reason, 300)}")
        if len(bad) > _MAX_FILES:
            lines.append(f"  and {len(bad) - _MAX_FILES:,} more, see the report")
    lines += map(printable, data.findings.notes[1:])
    return "\n".join(lines)


def report_json(data: ImportedData) -> dict[str, Any]:
    """Return the same content for a JSON file, with the names of all files."""
    parts = {}
    for part, content in data.parts.items():
        images = _images_by_class(content)
        objects = data.count_objects(part)
        parts[part] = {
            "images": len(content["images"]),
            "objects": objects.total(),
            "image_root": str(data.images_of(part)),
            "classes": [{"name": name, "objects": objects[name], "images": images[name]} for name in objects],
        }
    return {"source": str(data.source), "format": data.format, "parts": parts, **data.findings.to_json()}


def _images_by_class(content: dict[str, Any]) -> Counter[str]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    pairs = {(record.get("image_id"), record.get("category_id")) for record in content["annotations"]}
    return Counter(names.get(category_id, "?") for _, category_id in pairs)
