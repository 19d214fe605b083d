"""Reading the pages that users read: their commands, files, links and anchors."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "datasets/README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md")))]
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
PROSE = {page: re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S) for page, text in TEXTS.items()}
# Options and keys whose value is a file or folder, and those whose value is written.
READ = ("--train-json", "--train-images", "--val-json", "--val-images", "--weights", "--input", "--config-file")
READ += ("init_checkpoint", "weights", "root", "annotations", "file", "class_map", "image_root", "label_root")
WRITTEN = ("--output", "output_dir", "folder")
EXCHANGES = ("export", "export-timm", "export-open-clip", "interpolate-patch", "join-clip-towers")


@dataclass(frozen=True)
class Command:
    """A command of a page, without the starter (python, torchrun) and its options.

    Attributes:
        name: a verb, or a script.
        label: the comment above it.
    """

    page: str
    name: str
    arguments: tuple[str, ...]
    label: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {self.name} {' '.join(self.arguments)}"

    @property
    def overrides(self) -> list[str]:
        return [word for word in self.arguments if re.match(r"[\w.]+=", word)]

    def option(self, name: str) -> str | None:
        return self.arguments[self.arguments.index(name) + 1] if name in self.arguments else None

    @property
    def reads(self) -> list[str]:
        """Files and folders that must be there before."""
        if self.name in EXCHANGES:
            return [word for word in self.arguments[:-1] if not word.startswith("--")]
        return self._values(READ) + [word for word in self.arguments if self.name == "inspect" and "." in word]

    @property
    def writes(self) -> list[str]:
        """Files and folders that are there behind it."""
        return [self.arguments[-1]] if self.name in EXCHANGES else self._values(WRITTEN)

    def _values(self, names: tuple[str, ...]) -> list[str]:
        found, option = [], ""
        for word in self.arguments:
            key, _, value = word.partition("=")
            if word.startswith("--"):
                option = word
            elif value and re.fullmatch(r"[\w.]+", key):
                found += [value] if key.rpartition(".")[2] in names and value != "null" else []
            elif option in names:
                found.append(word)
        return found


def code_blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language ("" for commands), without the indentation of a list."""
    fences = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", TEXTS[page], flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, found, block in fences if found == language]


def shell_lines(page: str) -> Iterator[tuple[list[str], str]]:
    """The words of each command with the comment above it."""
    for block in code_blocks(page, ""):
        label = ""
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("#"):
                label = line.removeprefix("#").strip()
            if line.startswith(("python ", "torchrun ", "make ")):
                yield shlex.split(line, comments=True), label


def commands(page: str) -> list[Command]:
    """All commands of a page but those of make."""
    found = []
    for words, label in shell_lines(page):
        if words[0] == "make":
            continue
        if "-m" in words:
            own = words[words.index("tools", words.index("-m")) + 1 :]
        else:
            own = words[next(i for i, word in enumerate(words) if word.endswith(".py")) :]
        found.append(Command(page, own[0], tuple(own[1:]), label))
    return found


def links(page: str) -> list[tuple[Path, str]]:
    """File and anchor of each link that stays in the repository."""
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]) if "://" not in t]
    parts = [target.partition("#") for target in targets]
    return [((ROOT / page).parent / file if file else ROOT / page, anchor) for file, _, anchor in parts]


def anchors(path: Path) -> set[str]:
    """Names of a page's headings as links write them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
