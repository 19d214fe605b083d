"""Published files in the cache of the Hugging Face Hub: find them there, download them, and check their content.

The variables HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT and HF_TOKEN work as in `huggingface_hub`.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.disk_space import OutputError, disk_full_as_input_error, require_disk_space

from .table import PublishedFile

_DISK_FULL_ADVICE = "free some space, or set HF_HOME to a folder on another disk"


def cached_file(published: PublishedFile) -> Path | None:
    """Return the path of the file in the cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache  # slow to import, here and below

    found = try_to_load_from_cache(published.repository, published.file)
    return Path(found) if isinstance(found, str) else None


def download(published: PublishedFile, check: Callable[[Path], None]) -> Path:
    """Download the file to the cache, and return its path there.

    An interrupted download is continued. The file appears in the cache when it is complete and has passed the checks of
    its content; until then, other processes that need it wait.

    Args:
        published: The file.
        check: Function that raises InputError if a file is not the published one, in addition to its SHA-256.

    Raises:
        InputError: The file cannot be downloaded, or is not the published one.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import WeakFileLock

    name, folder = published.name, repo_folder_name(repo_id=published.repository, repo_type="model")
    cache, locks = Path(constants.HF_HUB_CACHE, folder), Path(constants.HF_HUB_CACHE, ".locks", folder)
    if constants.HF_HUB_OFFLINE:
        raise InputError(
            f"{name} is not in {cache}, and HF_HUB_OFFLINE forbids to download it; unset the variable, or give the "
            "path of the file"
        )
    url = hf_hub_url(published.repository, published.file)
    with _failures_as_input_error(name, url):
        locks.mkdir(parents=True, exist_ok=True)
        (cache / "blobs").mkdir(parents=True, exist_ok=True)
        with WeakFileLock(locks / f"{name}.lock"):
            found = cached_file(published)  # another process may have downloaded it in the meantime
            if found is not None:
                return found
            metadata = get_hf_file_metadata(url)
            etag = metadata.etag or ""
            if metadata.commit_hash is None or metadata.size is None or not re.fullmatch(r"[\w-]+", etag):
                raise InputError(f"{name}: {url} is not on a Hub; set HF_ENDPOINT to the address of one, or unset it")
            sha256 = _expected_sha256(published, etag)
            blob = cache / "blobs" / etag
            partial = blob.with_name(f"{etag}.incomplete")
            if blob.exists():  # another program was stopped after the download
                os.replace(blob, partial)
            _fetch(url, partial, metadata.size, name)
            with kept_apart(partial, name):
                check_sha256(partial, sha256)
                check(partial)
            os.replace(partial, blob)
            return Path(hf_hub_download(published.repository, published.file))  # only adds the names of the file


def known_sha256(published: PublishedFile, file: Path) -> str:
    """Return the SHA-256 that a file in the cache should have, by the table or else by the Hub; "" if unknown."""
    name = file.resolve().name  # the cache names a large file by the SHA-256 that the Hub stated
    return published.sha256 or (name if _is_sha256(name) else "")


def check_sha256(file: Path, expected: str) -> None:
    """Raise InputError if the content of `file` has another SHA-256 than `expected`; "" accepts any."""
    if not expected:
        return
    with open(file, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != expected:
        raise InputError(f"its SHA-256 is {found}, expected is {expected}")


@contextmanager
def kept_apart(file: Path, name: str) -> Iterator[None]:
    """Rename `file`, so that it is not used, if the block raises InputError because of its content.

    Args:
        file: File in the cache, or on its way there.
        name: Name of the published file, for the message.
    """
    try:
        yield
    except InputError as error:
        refused = file.with_name(f"{file.stem}.refused")
        os.replace(file, refused)
        raise InputError(
            f"{name}: {str(error).rstrip('.')}; the file is refused and kept as {refused}; download it again"
        ) from error


def _expected_sha256(published: PublishedFile, etag: str) -> str:
    if published.sha256 and _is_sha256(etag) and published.sha256 != etag:
        raise InputError(
            f"{published.name} has the SHA-256 {etag} on the Hub, which should be {published.sha256}; if you trust the "
            "change, download the file with another program and give its path"
        )
    return etag if _is_sha256(etag) else published.sha256


def _is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _fetch(url: str, partial: Path, num_bytes: int, name: str) -> None:
    """Download `url` to the file `partial`, of which the beginning may exist."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    start = partial.stat().st_size if partial.exists() else 0
    require_disk_space(partial, num_bytes - start, _DISK_FULL_ADVICE)
    # `hf_hub_download` would begin anew, because it deletes what an interrupted download has left.
    with disk_full_as_input_error(partial, num_bytes - start, _DISK_FULL_ADVICE), open(partial, "ab") as file:
        http_get(
            url,
            file,
            resume_size=start,
            headers=build_hf_headers(),
            expected_size=num_bytes,
            displayed_filename=name,
        )


@contextmanager
def _failures_as_input_error(name: str, url: str) -> Iterator[None]:
    # HTTPError is that of the HTTP library, which depends on the version of huggingface_hub.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        yield
    except OutputError as error:
        raise OutputError(f"{name}: {error}") from error
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise InputError(
                f"{name} cannot be downloaded to {error.filename} ({error.strerror}); set HF_HOME to another folder"
            ) from error
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        reason = f"HTTP status {status}" if status else " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{name} cannot be downloaded from {url} ({reason}); check the network, or give the path of the file; the "
            "same command continues an interrupted download"
        ) from error
