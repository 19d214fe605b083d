"""Read the pages for users: their commands, files, links and anchors."""

import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path


def remove_blocks(text: str) -> str:
    """Return the text of a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "datasets/README.md",
    # docs/reference is generated with the site.
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md")) if path.parent.name != "reference"),
]
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
PROSE = {page: remove_blocks(text) for page, text in TEXTS.items()}
FILES = "docs/weight_files.md"
# Its Python blocks are excerpts of files that tests/test_extensions.py compares and runs.
EXCERPTS = "docs/howto/extend.md"
_PUBLISHED, _USER_DATA = (re.findall(r"`([^`]+)`", part) for part in TEXTS[FILES].split("\n## Placeholder names\n"))
# Published files have names, too, with which commands download them.
_NAMES = [Path(name).stem for name in _PUBLISHED if name.endswith((".pt", ".pth"))]
# Files that no command writes, with what each is.
EXPLAINED = dict.fromkeys([*_PUBLISHED, *_NAMES], "a published weight file") | dict.fromkeys(_USER_DATA, "custom data")
# Options and keys whose value is a file or folder that is read, and those whose value is written.
READ = ("--train-json", "--train-images", "--val-json", "--val-images", "--weights", "--input", "--config-file")
READ += ("--source", "--train-data", "--val-data", "--split")
READ += ("init_checkpoint", "weights", "root", "annotations", "file", "class_map", "image_root", "label_root")
WRITTEN = ("--output", "--apply", "output_dir", "folder")
EXCHANGES = ("export", "export-timm", "export-open-clip", "interpolate-patch", "join-clip-towers")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        starter: Words before the name, such as python and its options.
        name: Verb, script, or target of make; empty for the table of verbs.
        label: Comment above the command.
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
        name = (self.name,) if self.name else ()
        return (*self.starter, *name, *self.arguments)

    @property
    def overrides(self) -> list[str]:
        """Changes to the config, without those that a sweep chooses."""
        return [word for word in self.arguments if re.match(r"[\w.]+=(?!(choice|interval|range|tag)\()", word)]

    def option(self, name: str) -> str | None:
        return self.arguments[self.arguments.index(name) + 1] if name in self.arguments else None

    @property
    def reads(self) -> list[str]:
        """Files and folders that must exist before the command."""
        if self.name in EXCHANGES:
            return [word for word in self.arguments[:-1] if not word.startswith("--")]
        files = self._values(READ)
        if self.name == "inspect":
            files += [word for word in self.arguments if "." in word or word in EXPLAINED]
        if self.name == "weights":
            files += self.arguments[1:]
        return files

    @property
    def writes(self) -> list[str]:
        """Files and folders that exist after the command."""
        return [self.arguments[-1]] if self.name in EXCHANGES else self._values(WRITTEN)

    def _values(self, names: tuple[str, ...]) -> list[str]:
        found, option = [], ""
        for word in self.arguments:
            key, _, value = word.partition("=")
            if word.startswith("--"):
                option = word
            elif value and re.fullmatch(r"[\w.]+", key):
                if key.rpartition(".")[2] in names and value != "null":
                    found.append(value)
            elif option in names:
                found.append(word)
        return found


def code_blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language ("" for commands), without the indentation of a list."""
    fences = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", TEXTS[page], flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, found, block in fences if found == language]


def python_blocks(page: str) -> list[str]:
    """Return the Python blocks of a page that run on their own."""
    return [] if page == EXCERPTS else code_blocks(page, "python")


def shell_lines(page: str) -> Iterator[tuple[list[str], str]]:
    """Yield the words of each command and the comment above it."""
    for block in code_blocks(page, ""):
        label = ""
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("#"):
                label = line.removeprefix("#").strip()
            if line.startswith(("python ", "torchrun ", "make ")):
                yield shlex.split(line, comments=True), label


def commands(page: str) -> list[Command]:
    """Return all commands in the blocks of a page."""
    return [to_command(page, words, label) for words, label in shell_lines(page)]


def inline_commands(page: str, verbs: Collection[str]) -> list[Command]:
    """Return the complete commands in the text of a page: the table of verbs, the help of each, targets of make."""
    found = []
    for text in re.findall(r"`(python -m tools(?: VERB --help)?|make \w+)`", PROSE[page]):
        lines = [text.replace("VERB", verb) for verb in verbs] if "VERB" in text else [text]
        found += [to_command(page, line.split()) for line in lines]
    return found


def to_command(page: str, words: list[str], label: str = "") -> Command:
    if words[1] == "-c":
        return Command(page, tuple(words[:2]), words[2])
    if words[0] == "make":
        position = 1
    elif "-m" in words:
        position = words.index("tools", words.index("-m")) + 1
    else:
        position = next(i for i, word in enumerate(words) if word.endswith(".py"))
    name = words[position] if position < len(words) else ""
    return Command(page, tuple(words[:position]), name, tuple(words[position + 1 :]), label)


def links(page: str) -> list[tuple[Path, str]]:
    """Return the file and the anchor of each link of a page that stays in the repository."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        found.append((path, anchor))
    return found


def web_addresses(page: str) -> list[str]:
    """Return the addresses that the text of a page links to, without the examples in its code."""
    text = re.sub(r"`[^`\n]+`", "", remove_blocks((ROOT / page).read_text(encoding="utf-8")))
    return re.findall(r"\]\(([a-z]+:[^)\s]*)\)", text) + re.findall(r"<([a-z]+:[^>\s]*)>", text)


def anchors(path: Path) -> set[str]:
    """Return the names of a page's headings as links write them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
