"""A figure is saved from the page: as the file that the stage writes, and as a PNG of four times its size."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.browser import Browser, chromium
from tests.runs import toy_results
from tinyllm.report.contents import gather
from tinyllm.report.figures import draw, standalone
from tinyllm.report.page import render

CATCH = """window.saved = [];
HTMLAnchorElement.prototype.click = function () { window.saved.push([this.download, this.href]); };
"""
PRESS = """(async () => {
    const before = window.saved.length;
    document.querySelector(`button[name="%s"]`).click();
    for (let i = 0; i < 200 && window.saved.length === before; i++) await new Promise(done => setTimeout(done, 20));
    const [name, address] = window.saved.at(-1);
    return [name, await new Promise(done => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(window.blobs.get(address));
    })];
})()"""
KEEP = """window.blobs = new Map();
const made = URL.createObjectURL;
URL.createObjectURL = blob => { const address = made(blob); window.blobs.set(address, blob); return address; };
"""
CORNER = """(async () => {
    const image = new Image();
    image.src = "%s";
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [[2, 2], [%s, %s]].map(([x, y]) => [...context.getImageData(x, y, 1, 1).data]);
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def tree(element: ElementTree.Element) -> tuple[Any, ...]:
    return element.tag, dict(element.attrib), element.text or "", [tree(child) for child in element]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_files_that_the_page_saves_are_those_of_the_stage_whatever_the_readers_colours(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    report = gather(toy_results(), "toy", {})
    figures = draw(report)
    path = tmp_path / "index.html"
    path.write_text(render(report, figures), encoding="utf-8")
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(path.as_uri())
    browser.run(CATCH + KEEP)
    assert browser.run("document.querySelectorAll('.save button').length") == 2 * len(figures)
    for name, drawn in figures.items():
        saved, address = browser.run(PRESS % f"{name}.svg")
        file = base64.b64decode(address.partition(",")[2]).decode()
        assert saved == f"{name}.svg" and address.startswith("data:image/svg+xml")
        assert tree(ElementTree.fromstring(file)) == tree(ElementTree.fromstring(standalone(drawn))), name
    saved, address = browser.run(PRESS % "accuracy.png")
    picture = base64.b64decode(address.partition(",")[2])
    height = float(ElementTree.fromstring(standalone(figures["accuracy"])).get("height", ""))
    assert (saved, picture[:8]) == ("accuracy.png", b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (4 * 356, 4 * height)
    assert browser.complaints() == []
    # the student's dot is at 210.5 and 30, moved by the margin of 8
    corner, dot = browser.run(CORNER % (address, int(4 * 218.5), int(4 * 38)))
    assert (corner, dot) == ([255, 255, 255, 255], [0x0B, 0x5F, 0x86, 255])
