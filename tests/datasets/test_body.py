"""A mirror that does not end, drips, packs what it sends or leads elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tinyllm.datasets import download
from tinyllm.datasets.body import read_body, target_of
from tinyllm.datasets.download import Asset, fetch

BODY = b'["a toy file of the release"]'
ASSET = Asset("datasets/toy/toy_train.json", len(BODY), "", hashlib.sha256(BODY).hexdigest())
UNSIZED = Asset(ASSET.path, None, "", ASSET.sha256)


class Handler(BaseHTTPRequestHandler):
    """Does what the first part of the path says."""

    def do_GET(self) -> None:
        act = self.path.split("/")[1]
        if act.startswith("to-"):  # a redirect to that act, or to the address in the query
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2] or f"/{act.removeprefix('to-')}/x")
            self.end_headers()
            return
        self.send_response(200)
        packed = {"packed": "gzip", "twice": "gzip, gzip", "shrunk": "deflate"}.get(act)
        if packed:
            self.send_header("Content-Encoding", packed)
        self.end_headers()
        with suppress(OSError):  # the reader has gone
            self.send(act)

    def send(self, act: str) -> None:
        if act == "whole":
            self.wfile.write(BODY)
        elif act == "endless":
            while True:
                self.server.sent += self.wfile.write(b"x" * 65_536)
        elif act == "drip":
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)
        else:
            self.wfile.write(gzip.compress(b"0" * 10_000_000))

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    sent = 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TINYLLM_DATA_CACHE", str(tmp_path / "cache"))
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def base(server: Server, act: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{act}"


def refused(asset: Asset = ASSET) -> str:
    with pytest.raises(ValueError) as caught:
        fetch(asset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_body_is_read_whole_behind_a_few_redirects(server: Server) -> None:
    assert read_body(base(server, "whole"), 100, 5.0) == BODY
    assert read_body(base(server, "to-to-to-whole"), len(BODY), 5.0) == BODY
    assert read_body(base(server, "whole"), 4, 5.0) == BODY[:5]


@pytest.mark.parametrize(
    ("act", "asset", "expected"),
    [
        ("endless", ASSET, f"more than {len(BODY)} bytes, expected {len(BODY)}; the mirror serves another version"),
        ("endless", UNSIZED, "more than 300000 bytes, expected less; the mirror serves another version"),
        ("drip", UNSIZED, "RequestException (no whole file within 0.5 s), not tried again"),
        ("packed", ASSET, "ContentDecodingError (the body is packed ('gzip')), not tried again"),
        ("twice", UNSIZED, "ContentDecodingError (the body is packed ('gzip, gzip')), not tried again"),
        ("shrunk", UNSIZED, "ContentDecodingError (the body is packed ('deflate')), not tried again"),
        ("to-to-to-to-to-to-whole", ASSET, "TooManyRedirects (more than 5 redirects), not tried again"),
    ],
)
def test_a_mirror_that_is_no_mirror_costs_little_and_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, act: str, asset: Asset, expected: str
) -> None:
    monkeypatch.setattr(download, "WHOLE_SECONDS", 0.5)
    monkeypatch.setattr(download, "MOST_BYTES", 300_000)
    monkeypatch.setenv("TINYLLM_MIRROR", base(server, act))
    started = time.monotonic()
    assert expected in refused(asset)
    assert time.monotonic() - started < 5
    assert server.sent < 50_000_000  # what lay in the system's buffers, and not what memory would hold


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("https://a/b/c", "d", "https://a/b/d"),
        ("https://a/b", "https://c/d", "https://c/d"),
        ("http://a/b", "https://c/d", "https://c/d"),
        ("http://a/b", "//c/d", "http://c/d"),
    ],
)
def test_a_redirect_leads_on(url: str, location: str, expected: str) -> None:
    assert target_of(url, location) == expected


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("https://a/b", "http://a/b", "it leads to http://; allowed is https"),
        ("https://a/b", "file:///etc/passwd", "it leads to file://; allowed is https"),
        ("http://a/b", "file:///etc/passwd", "it leads to file://; allowed is http or https"),
        ("http://a/b", "ftp://a/b", "it leads to ftp://; allowed is http or https"),
        ("http://a/b", "data:,x", "it leads to data://; allowed is http or https"),
        ("http://a/b", "http://[::1", "it leads to an address that cannot be read"),
    ],
)
def test_a_redirect_to_a_file_or_to_an_open_address_is_refused(url: str, location: str, expected: str) -> None:
    with pytest.raises(requests.RequestException) as caught:
        target_of(url, location)
    assert str(caught.value) == expected


def test_a_redirect_of_a_server_to_a_file_reads_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(requests.RequestException, match="it leads to file"):
        read_body(f"{base(server, 'to-')}?file:///etc/passwd", 100, 5.0)


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "link to a device"])
def test_a_mirror_in_a_folder_is_read_only_where_it_is_a_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TINYLLM_DATA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "copy" / ASSET.path
    path.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    asset = Asset("zero", ASSET.size, "", "") if kind == "device" else ASSET
    monkeypatch.setenv("TINYLLM_MIRROR", "file:///dev" if kind == "device" else (tmp_path / "copy").as_uri())
    assert f"{asset.path}: no plain file, expected the file; TINYLLM_MIRROR must name a folder" in refused(asset)


def test_a_large_file_in_a_folder_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_DATA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / ASSET.path
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse
    monkeypatch.setenv("TINYLLM_MIRROR", tmp_path.as_uri())
    assert f"more than {len(BODY)} bytes, expected {len(BODY)}" in refused()
