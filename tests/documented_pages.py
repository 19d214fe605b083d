"""Reading the pages that users read: their commands, files, links and anchors."""

import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path


def prose(text: str) -> str:
    """A page without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "datasets/README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md")))]
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
PROSE = {page: prose(text) for page, text in TEXTS.items()}
FILES = "docs/weight_files.md"
_PUBLISHED, _YOURS = (re.findall(r"`([^`]+)`", part) for part in TEXTS[FILES].split("\n## Names that stand for yours"))
# Names of files that no command makes, with what they are.
EXPLAINED = dict.fromkeys(_PUBLISHED, "a published weight file") | dict.fromkeys(_YOURS, "data of your own")
# Options and keys whose value is a file or folder, and those whose value is written.
READ = ("--train-json", "--train-images", "--val-json", "--val-images", "--weights", "--input", "--config-file")
READ += ("--source", "--annotations", "--split")
READ += ("init_checkpoint", "weights", "root", "annotations", "file", "class_map", "image_root", "label_root")
WRITTEN = ("--output", "output_dir", "folder")
EXCHANGES = ("export", "export-timm", "export-open-clip", "interpolate-patch", "join-clip-towers")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        starter: what stands in front of the name, such as python and its options.
        name: a verb, a script, or a target of make; empty for the table of verbs.
        label: the comment above it.
    """

    page: str
    starter: tuple[str, ...]
    name: str
    arguments: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.starter, *([self.name] if self.name else []), *self.arguments)

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
    """All commands in the blocks of a page."""
    return [to_command(page, words, label) for words, label in shell_lines(page)]


def inline_commands(page: str, verbs: Collection[str]) -> list[Command]:
    """Whole commands in the text of a page: the table of verbs, the help of each, targets of make."""
    found = re.findall(r"`(python -m tools(?: VERB --help)?|make \w+)`", PROSE[page])
    lines = [text.replace("VERB", verb) for text in found for verb in (verbs if "VERB" in text else [""])]
    return [to_command(page, line.split()) for line in lines]


def to_command(page: str, words: list[str], label: str = "") -> Command:
    if words[1] == "-c":
        return Command(page, tuple(words[:2]), words[2])
    if words[0] == "make":
        behind = 1
    elif "-m" in words:
        behind = words.index("tools", words.index("-m")) + 1
    else:
        behind = next(i for i, word in enumerate(words) if word.endswith(".py"))
    name = words[behind] if behind < len(words) else ""
    return Command(page, tuple(words[:behind]), name, tuple(words[behind + 1 :]), label)


def links(page: str) -> list[tuple[Path, str]]:
    """File and anchor of each link that stays in the repository."""
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]) if "://" not in t]
    parts = [target.partition("#") for target in targets]
    return [((ROOT / page).parent / file if file else ROOT / page, anchor) for file, _, anchor in parts]


def anchors(path: Path) -> set[str]:
    """Names of a page's headings as links write them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
