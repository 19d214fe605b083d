"""List the published weight files that all commands accept by name, download them, and verify downloaded ones.

    python -m tools weights
    python -m tools weights download eva02_L_coco_det_sys_o365 eva_coco_seg
    python -m tools weights verify eva_coco_seg

A download goes to the cache of the Hugging Face Hub, and is used only if its SHA-256 is the one that the Hub states and
its names and shapes are those of the model. verify repeats both checks, without names for all files in the cache.

Exit status: 0 when every file is there and intact, 1 when verify finds one that is not in the cache, 2 for an unknown
name, a failed download or a file with another content, which is renamed so that it is not used.
"""

from collections.abc import Sequence

from eva_engine.safe_text import printable

from .cli import command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "action", nargs="?", choices=("list", "download", "verify"), default="list", help="default: %(default)s"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of published files; default: all")
    args = parser.parse_args(argv)
    if args.action == "download" and not args.names:
        parser.error("download needs one or more names")
    return run_command({"list": _list, "download": _download, "verify": _verify}[args.action], args.names)


def _list(names: Sequence[str]) -> None:
    """Print a heading for each repository, and a line for each of its files."""
    # Imported late, here and below, so that --help is answered at once.
    from eva_engine.published_weights.hub import cached_file
    from eva_engine.published_weights.table import all_published, find_published

    files = [find_published(name) for name in names] or list(all_published().values())
    width = max(len(file.name) for file in files)
    for repository, licence in dict.fromkeys((file.repository, file.licence) for file in files):
        print(f"https://huggingface.co/{repository}, licence {licence}:")
        for file in files:
            if (file.repository, file.licence) == (repository, licence):
                recipes = [file.recipe, *file.evaluating_recipes, *file.starting_recipes]
                recipe = next((recipe.path for recipe in recipes if recipe), "-")
                state = "cached" if cached_file(file) else "-"
                print(printable(f"  {file.name:{width}}  {state:6}  {file.size or '-':>7}  {recipe}"))


def _download(names: Sequence[str]) -> int:
    return max(run_command(_download_file, name) for name in names)


def _download_file(name: str) -> None:
    from eva_engine.published_weights.table import find_published
    from eva_engine.published_weights.weight_path import local_copy

    print(f"{name}: {printable(local_copy(find_published(name)))}")


def _verify(names: Sequence[str]) -> int:
    from eva_engine.published_weights.hub import cached_file
    from eva_engine.published_weights.table import all_published

    names = names or [file.name for file in all_published().values() if cached_file(file)]
    if not names:
        print("no published file is in the cache")
    return max((run_command(_verify_file, name) for name in names), default=0)


def _verify_file(name: str) -> int:
    from eva_engine.published_weights.hub import cached_file, check_sha256, kept_apart, known_sha256
    from eva_engine.published_weights.model_check import check_model
    from eva_engine.published_weights.table import find_published

    published = find_published(name)
    file = cached_file(published)
    if file is None:
        print(f"{name}: not in the cache")
        return 1
    expected = known_sha256(published, file)
    with kept_apart(file.resolve(), name):
        check_sha256(file, expected)
        check_model(published, file)
    checked = "SHA-256, names and shapes" if expected else "names and shapes"
    print(f"{name}: {checked} are right: {printable(file)}")
    return 0
