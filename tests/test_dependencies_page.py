"""docs/design/dependencies.md has a row for each dependency and extra of pyproject.toml, and no other row."""

import re
import tomllib
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/design/dependencies.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Sections whose rows all belong to one group, and so have no column for the extra.
GROUPS = {"Base": "base", "Extra `detection`": "detection"}


def rows() -> list[tuple[str, list[str], list[str]]]:
    """Return the package of each row, its groups, and the other cells."""
    found = []
    for section in PAGE.split("\n## ")[1:]:
        title = section.partition("\n")[0]
        for line in re.findall(r"^\| `.*$", section, flags=re.M):
            package, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            groups = [GROUPS[title]] if title in GROUPS else re.findall(r"`([^`]+)`", cells.pop(0))
            found.append((package.strip("`"), groups, cells))
    return found


def test_the_page_lists_the_dependencies_of_the_project():
    declared = {"base": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    expected = {(re.split(r"[<>=]", line)[0], group) for group, lines in declared.items() for line in lines}
    listed = [(package, group) for package, groups, _ in rows() for group in groups]
    assert len(set(listed)) == len(listed)
    assert set(listed) == expected


def test_each_row_says_why_which_release_with_its_date_and_what_would_replace_it():
    for package, _, (why, release, replacement) in rows():
        assert why, package
        assert replacement, package
        (month,) = re.findall(r", (?:\*\*)?([A-Z][a-z]{2} 20\d\d)(?:\*\*)?", release)
        is_old = datetime.strptime(month, "%b %Y") < datetime(2024, 12, 1)
        assert ("**" in release) == is_old, f"{package}: bold if there was no release for two years"
