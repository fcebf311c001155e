"""Fetching one file, against a real server on the loopback interface."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stamina

from tinyllm.datasets import download as module
from tinyllm.datasets.download import Asset, fetch, read_manifest

BODY = b'["a toy file of the release"]\n'
WHOLE = Asset("datasets/toy/toy_train.json", len(BODY), "", hashlib.sha256(BODY).hexdigest())


class Server(ThreadingHTTPServer):
    """Answers request after request as its script says; the last entry goes on for ever."""

    script: list[str]
    asked: list[str]
    base: str


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        act = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        if act == "reset":  # a linger time of 0 makes close() send RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        status = int(act) if act.isdigit() else 200
        body = b"[]" if act == "other" else BODY.replace(b"toy", b"TOY") if act == "same size" else BODY
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:7] if act == "cut" else body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TINYLLM_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with stamina.set_testing(True, attempts=module.TRIES):  # the same number of tries, without the waits between them
        yield tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.script, server.asked, server.base = ["200"], [], f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("TINYLLM_MIRROR", f"{server.base}/copy/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def kept(cache: Path) -> list[str]:
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())


def failure(asset: Asset) -> str:
    with pytest.raises(ValueError) as caught:
        fetch(asset)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_is_fetched_once_into_the_layout_of_the_release(server: Server, cache: Path) -> None:
    assert fetch(WHOLE) == fetch(WHOLE) == cache / WHOLE.path
    assert (cache / WHOLE.path).read_bytes() == BODY
    assert server.asked == ["/copy/datasets/toy/toy_train.json"]
    assert kept(cache) == [WHOLE.path]


@pytest.mark.parametrize("fault", ["500", "503", "429", "cut", "reset"])
def test_a_fault_that_passes_is_tried_again(server: Server, fault: str) -> None:
    server.script = [fault, fault, "200"]
    assert fetch(WHOLE).read_bytes() == BODY
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("fault", "message_start"),
    [
        ("500", "HTTP 500 Internal Server Error"),
        ("429", "HTTP 429 Too Many Requests"),
        ("cut", "ChunkedEncodingError ("),
        ("reset", "ConnectionError ("),
    ],
)
def test_a_fault_that_stays_ends_after_three_tries_and_leaves_nothing(
    server: Server, cache: Path, fault: str, message_start: str
) -> None:
    server.script = [fault]
    message = failure(WHOLE)
    assert message.startswith(f"{server.base}/copy/{WHOLE.path}: {message_start}")
    assert "after 3 tries, expected the file; check network and proxy, or set TINYLLM_MIRROR" in message
    assert len(server.asked) == 3
    assert kept(cache) == []


@pytest.mark.parametrize(("status", "reason"), [("404", "Not Found"), ("401", "Unauthorized"), ("403", "Forbidden")])
def test_an_answer_that_will_not_change_is_not_asked_for_again(server: Server, status: str, reason: str) -> None:
    server.script = [status]
    assert f"{WHOLE.path}: HTTP {status} {reason}, not tried again" in failure(WHOLE)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can answer here
        monkeypatch.setenv("TINYLLM_MIRROR", f"http://127.0.0.1:{free.getsockname()[1]}")
        assert "ConnectionError" in failure(WHOLE)


def test_another_file_of_another_size_is_refused(server: Server, cache: Path) -> None:
    server.script = ["other"]
    message = failure(WHOLE)
    assert message.startswith(
        f"{server.base}/copy/{WHOLE.path}: 2 bytes, expected {len(BODY)}; the mirror serves another"
    )
    assert "unset TINYLLM_MIRROR" in message
    assert len(server.asked) == 1
    assert kept(cache) == []


def test_another_file_of_the_same_size_is_refused_by_its_hash(server: Server, cache: Path) -> None:
    server.script = ["same size"]
    digest = hashlib.sha256(BODY.replace(b"toy", b"TOY")).hexdigest()
    assert f"sha256 is {digest}, expected {WHOLE.sha256}; the mirror serves another version" in failure(WHOLE)
    assert kept(cache) == []


def test_a_damaged_copy_in_the_cache_is_fetched_anew(server: Server, cache: Path) -> None:
    fetch(WHOLE).write_bytes(BODY[:-3])
    assert fetch(WHOLE).read_bytes() == BODY
    assert len(server.asked) == 2


def test_a_damaged_copy_is_not_used_when_the_server_fails(server: Server) -> None:
    fetch(WHOLE).write_bytes(b"x" * len(BODY))
    server.script = ["404"]
    assert "HTTP 404" in failure(WHOLE)


def test_a_whole_copy_needs_no_server(server: Server) -> None:
    path = fetch(WHOLE)
    server.script = ["404"]
    assert fetch(WHOLE) == path


def test_an_interrupted_write_leaves_nothing_behind(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(source: Path, target: Path) -> None:
        assert Path(source).name.endswith(".partial")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(WHOLE)
    assert kept(cache) == []
    assert fetch(WHOLE).read_bytes() == BODY


def test_the_rest_of_a_killed_download_is_not_taken_for_the_file(server: Server, cache: Path) -> None:
    rest = cache / f"{WHOLE.path}.1.partial"
    rest.parent.mkdir(parents=True)
    rest.write_bytes(BODY[:5])
    assert fetch(WHOLE).read_bytes() == BODY


def test_a_file_known_by_its_git_blob_id_alone_is_verified(server: Server, cache: Path) -> None:
    # git hash-object --stdin <<< '["a toy file of the release"]'
    fetch(Asset(WHOLE.path, None, "cccb3ee606959c7cd51f1666ede2e00efb9de50c", ""))
    (cache / WHOLE.path).unlink()
    server.script = ["same size"]
    assert ", expected cccb3ee606959c7cd51f1666ede2e00efb9de50c; the mirror" in failure(
        Asset(WHOLE.path, None, "cccb3ee606959c7cd51f1666ede2e00efb9de50c", "")
    )


def test_a_folder_serves_as_mirror_and_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a copy" / WHOLE.path
    source.parent.mkdir(parents=True)
    monkeypatch.setenv("TINYLLM_MIRROR", (tmp_path / "a copy").as_uri())
    assert "a%20copy/datasets/toy/toy_train.json: No such file or directory, expected the file" in failure(WHOLE)
    source.write_bytes(b"[]")
    assert f"2 bytes, expected {len(BODY)}" in failure(WHOLE)
    source.write_bytes(BODY)
    assert fetch(WHOLE).read_bytes() == BODY


@pytest.mark.parametrize(
    "base", ["ftp://host/copy", "/data/copy", "data", "http://", "file://data/copy", "https:/host"]
)
def test_a_mirror_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    monkeypatch.setenv("TINYLLM_MIRROR", base)
    message = failure(WHOLE)
    assert message.startswith(f"TINYLLM_MIRROR is {base!r}; allowed is an http://, https:// or file:// address")


def test_no_message_carries_a_password(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = ["404"]
    for base in (server.base.replace("//", "//me:secret@"), "ftp://me:secret@host"):
        monkeypatch.setenv("TINYLLM_MIRROR", base)
        assert "secret" not in failure(WHOLE)


def test_a_cache_that_cannot_be_written_is_named(server: Server, cache: Path) -> None:
    cache.write_bytes(b"a file where the folder should be")
    message = failure(WHOLE)
    assert message.startswith(f"{cache / WHOLE.path}: cannot be")
    assert "set TINYLLM_DATA_CACHE" in message


def test_the_cache_is_per_user_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYLLM_DATA_CACHE")
    assert module.cache_folder().name == "tinyllm"


def test_without_a_mirror_the_pinned_commit_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYLLM_MIRROR", raising=False)
    assert module.mirror() == f"https://raw.githubusercontent.com/YikunHan42/TinyLLM/{module.COMMIT}"


def test_every_file_of_the_manifest_can_be_verified() -> None:
    manifest = read_manifest()
    assert len(manifest) == 93
    assert all(len(asset.git_blob) == 40 for asset in manifest.values())
    assert [path for path, asset in manifest.items() if len(asset.sha256) != 64 or not asset.size] == [
        "datasets/piqa/piqa_train.json"  # its bytes were not at hand when the manifest was made
    ]
