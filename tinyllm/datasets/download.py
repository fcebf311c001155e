"""One file of a public repository, fetched into the per-user cache and verified before anyone reads it.

Environment:
    TINYLLM_MIRROR: an http://, https:// or file:// base that replaces the repositories. The authors' release lies at its top,
        in its own layout; every other repository lies in a folder of its name, such as `EIT-NLP/Distilling-CoT-Reasoning`.
    TINYLLM_DATA_CACHE: the folder for fetched files; otherwise the operating system's cache folder for `tinyllm`.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from errno import EINVAL
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import platformdirs

from tinyllm.datasets.body import read_body

if TYPE_CHECKING:  # with stamina 0.2 s, so only where a file is really fetched
    import requests

from tinyllm.project import home_path

COMMIT = "9f5bebec8b22037f80ffa8d17bfeb01a2a524a3b"
TRIES = 3
WHOLE_SECONDS = 600.0  # for one file, the largest of which has 4 MB
MOST_BYTES = 100_000_000  # of a file whose size the manifest does not know
PASSING = (408, 429)  # besides every 5xx: answers that another try may change; 401, 403 and 404 stay what they are


@dataclass(frozen=True)
class Repository:
    """A public repository at one commit, and where a mirror and the cache keep its files."""

    name: str
    commit: str
    folder: str  # "" for the authors' release

    def __str__(self) -> str:
        return f"github {self.name} at {self.commit}"


RELEASE = Repository("YikunHan42/TinyLLM", COMMIT, "")
OTHERS = {
    name: Repository(repository, commit, repository)
    for name, repository, commit in (
        ("eit", "EIT-NLP/Distilling-CoT-Reasoning", "cc33822e99534615a87841bd6c2e865e0d24d123"),
        # the files of google-research/distilling-step-by-step, which has them in one archive
        ("dss", "maxh119Z/distilling-step-by-step1", "5b76a471c46c61f45114eab6621ffdff12d676b6"),
        ("rag", "cnalty/distilling-step-by-step-rag", "64aef9bba4bab20dcc6a4abef4e5ee5bf09345a9"),
        ("svamp", "arkilpatel/SVAMP", "6f09ab516ab06c18e948c0325236e84e80b5d4bd"),
    )
}


@dataclass(frozen=True)
class Asset:
    """What the manifest knows of one file; where sha256 is empty, the git blob id identifies it."""

    path: str
    size: int | None
    git_blob: str
    sha256: str
    repository: Repository = RELEASE


def read_others() -> dict[tuple[str, str], Asset]:
    """Return every file of the other repositories that is used here, by its repository's short name and its path there.

    A file whose size is unknown is identified by its git blob id.
    """
    lines = files("tinyllm.datasets").joinpath("sources.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {
        (source, path): Asset(path, int(size) if size else None, blob, sha256, OTHERS[source])
        for source, path, size, blob, sha256 in rows
    }


def read_manifest() -> dict[str, Asset]:
    """Return every data file of the release by its path there.

    Source: github YikunHan42/TinyLLM at 9f5bebe; hashes of its bytes. `piqa_train.json` has only its git blob id.
    """
    lines = files("tinyllm.datasets").joinpath("release.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {path: Asset(path, int(size) if size else None, blob, sha256) for path, size, blob, sha256 in rows}


def fetch(asset: Asset) -> Path:
    """Return the path of a verified copy in the cache, downloading it where there is none or a damaged one.

    A copy is verified at every call: hashing a few megabytes is cheap, a night's training on a damaged file is not.

    Raises:
        ValueError: the mirror's address, the server's answer, the bytes or the cache folder are wrong. One line names which,
            what is there, what was expected, and the remedy.
    """
    target = cache_folder() / asset.repository.folder / asset.path
    try:
        if target.is_file() and _fault(target.read_bytes(), asset) is None:
            return target
    except OSError as error:
        raise ValueError(
            f"{target}: cannot be read ({error}); delete it, or set TINYLLM_DATA_CACHE elsewhere"
        ) from None
    url = f"{mirror(asset.repository)}/{quote(asset.path)}"
    data = _read_file(url, asset) if url.startswith("file:") else _download(url, asset)
    fault = _fault(data, asset)
    if fault is not None:
        raise ValueError(
            f"{_shown(url)}: {fault}; the mirror serves another version: unset TINYLLM_MIRROR,"
            f" or set it to a copy of {asset.repository}"
        )
    try:
        _keep(data, target)
    except OSError as error:
        remedy = "free space, or set TINYLLM_DATA_CACHE to a folder that can be written"
        raise ValueError(f"{target}: cannot be written ({error}); {remedy}") from None
    return target


def cache_folder() -> Path:
    """The folder that fetched files are kept in, in the layout of the release."""
    chosen = os.environ.get("TINYLLM_DATA_CACHE")
    if chosen:
        return home_path(chosen, "TINYLLM_DATA_CACHE")
    return Path(platformdirs.user_cache_dir("tinyllm"))


def mirror(repository: Repository = RELEASE) -> str:
    """Return the base that a repository's files are fetched from, without a slash at its end.

    Raises:
        ValueError: TINYLLM_MIRROR is no http, https or file address.
    """
    chosen = os.environ.get("TINYLLM_MIRROR")
    base = chosen or f"https://raw.githubusercontent.com/{repository.name}/{repository.commit}"
    parts = urlsplit(base)
    local = parts.scheme == "file"
    complete = parts.netloc in ("", "localhost") and parts.path.startswith("/") if local else bool(parts.hostname)
    if parts.scheme not in ("http", "https", "file") or not complete:
        raise ValueError(
            f"TINYLLM_MIRROR is {_shown(base)!r}; allowed is an http://, https:// or file:// address,"
            " such as file:///data/TinyLLM for the folder /data/TinyLLM"
        )
    base = base.rstrip("/")
    return f"{base}/{repository.folder}" if chosen and repository.folder else base


def _fault(data: bytes, asset: Asset) -> str | None:
    """Return how the bytes differ from the manifest entry; None where they do not."""
    if len(data) > _largest(asset):
        return f"more than {_largest(asset)} bytes, expected {asset.size or 'less'}"
    if asset.size is not None and len(data) != asset.size:
        return f"{len(data)} bytes, expected {asset.size}"
    if asset.sha256:
        name, digest, expected = "sha256", hashlib.sha256(data).hexdigest(), asset.sha256
    else:  # git hashes the length before the bytes, so the size is covered too
        name, digest, expected = (
            "git blob id",
            hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
            asset.git_blob,
        )
    return None if digest == expected else f"{name} is {digest}, expected {expected}"


def _keep(data: bytes, target: Path) -> None:
    """Write verified bytes; a file whose name has no `.partial` is always whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")  # queued experiments may fetch it at once
    try:
        partial.write_bytes(data)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _read_file(url: str, asset: Asset) -> bytes:
    path = Path(url2pathname(urlsplit(url).path))
    try:
        if path.exists() and not path.is_file():  # a pipe would not end, nor would some devices
            raise OSError(EINVAL, "no plain file")
        with path.open("rb") as file:
            return file.read(_largest(asset) + 1)
    except OSError as error:
        remedy = "TINYLLM_MIRROR must name a folder with the release at its top, and others by their repository's name"
        raise ValueError(f"{url}: {error.strerror}, expected the file; {remedy}") from None


def _download(url: str, asset: Asset) -> bytes:
    """Return the body. What may pass is tried again after about 1 and 2 seconds, `TRIES` times in all."""
    import requests
    import stamina

    try:
        for attempt in stamina.retry_context(on=_may_pass, attempts=TRIES, wait_initial=0.5, wait_max=5.0):
            with attempt:
                body = read_body(url, _largest(asset), WHOLE_SECONDS)
        return body
    except requests.RequestException as error:
        tries = f"after {TRIES} tries" if _may_pass(error) else "not tried again"
        remedy = "check network and proxy, or set TINYLLM_MIRROR to a copy of the release"
        raise ValueError(f"{_shown(url)}: {_reason(error)}, {tries}, expected the file; {remedy}") from None


def _largest(asset: Asset) -> int:
    return MOST_BYTES if asset.size is None else asset.size


def _may_pass(error: Exception) -> bool:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= 500 or error.response.status_code in PASSING
    return isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError))


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    return f"{type(error).__name__} ({' '.join(str(error).split())})"


def _shown(url: str) -> str:
    """Return the address without user name and password: no message may hold those."""
    return re.sub("//[^/]*@", "//", url)
