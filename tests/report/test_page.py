"""The page: its figures, its escapes, its policy, and what a real browser makes of it, hostile text included."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.browser import Browser, chromium
from tests.runs import TEACHERS, toy_results
from tinyllm.report.contents import gather
from tinyllm.report.figures import draw, percent, standalone
from tinyllm.report.figures.svg import PALETTE, powers, ticks
from tinyllm.report.page import embed, render, rounded

SVG = "{http://www.w3.org/2000/svg}"


def toy_report(**changes: Any) -> dict[str, Any]:
    results = toy_results()
    explanations = {"e2": dict.fromkeys(results.rationales, "Sand is dry.")}
    return gather(results, "toy", explanations) | changes


# --- colours and numbers --------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_is_the_standards() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the standard's own example of enough


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_that_is_read_has_enough_contrast(scheme: str) -> None:
    colours = PALETTE[scheme]
    for ink, paper in product(("ink", "muted", "accent", "right", "wrong"), ("paper", "panel")):
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    for ground in ("cell", "mark"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5, ground
    for series in ("s0", "s1", "s2", "s3", "s4"):
        assert contrast(colours[series], colours["paper"]) >= 3, series


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.0004, "<0.1%"),
        (0.0005, "0.1%"),
        (0.666, "66.6%"),
        (0.9996, ">99.9%"),
        (0.25, "25.0%"),
    ],
)
def test_a_share_is_written_so_that_none_and_all_are_meant(value: float, written: str) -> None:
    assert percent(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (210688, "210,688"),
        (2_850_000_000, "2.85 billion"),
        (77_000_000, "77 million"),
        (31990.4, "32,000"),
        (4.25, "4.25"),
    ],
)
def test_a_size_is_written_as_it_is_read(value: float, written: str) -> None:
    assert rounded(value) == written


def test_axes_have_round_values() -> None:
    assert ticks(760, 4) == [0, 200, 400, 600]
    assert ticks(1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert powers(0.013, 7) == [0.01, 0.1, 1, 10]
    assert powers(0.3, 2.5) == [0.2, 0.5, 1, 2, 5]
    assert powers(5.5, 9.2) == [5, 6, 7, 8, 9, 10]
    assert powers(1, 1) == [1, 2]


# --- figures --------------------------------------------------------------------------------------------------------


def test_every_figure_is_a_file_that_stands_alone() -> None:
    figures = draw(toy_report())
    kinds = [f"{kind}_{teacher}" for teacher in TEACHERS for kind in ("kept", "words", "loss")]
    assert set(figures) == {"accuracy", "confusion", "valid", "loss_answer", "shared_words", *kinds}
    for name, drawn in figures.items():
        file = standalone(drawn)
        root = ElementTree.fromstring(file)
        assert root.tag == f"{SVG}svg" and root.get("aria-label"), name
        assert "nan" not in file and re.findall(r"https?:[^\"]*", file) == ["http://www.w3.org/2000/svg"]
        assert not re.search("var\\(|<style|class=|style=|paint-order", file), name  # for programs that know no CSS
        left, top, width, height = map(float, root.get("viewBox", "").split())
        assert (left, top, root.get("width"), root.get("height")) == (-8, -8, f"{width:g}", f"{height:g}")
        assert root[0].tag == f"{SVG}title" and root[0].text == root.get("aria-label")
        assert root[1].attrib == {
            "x": "-8",
            "y": "-8",
            "width": f"{width:g}",
            "height": f"{height:g}",
            "fill": "#ffffff",
        }
        for text in root.iter(f"{SVG}text"):
            x, y = float(text.get("x", "")), float(text.get("y", ""))
            assert 0 <= x <= width - 16 and 0 < y <= height - 16, (name, text.text)
            assert re.fullmatch("#[0-9a-f]{6}", text.get("fill", "")) and text.get("stroke") in (None, "none")
        for mark in [*root.iter(f"{SVG}line"), *root.iter(f"{SVG}polyline")]:
            assert re.fullmatch("#[0-9a-f]{6}", mark.get("stroke", "")), name


def test_a_mark_in_a_file_has_the_colours_that_the_page_gives_it_in_the_light() -> None:
    root = ElementTree.fromstring(standalone(draw(toy_report())["loss_ann"]))
    assert (root.get("font-family"), root.get("font-size")) == (
        "Helvetica, Arial, 'Liberation Sans', sans-serif",
        "13px",
    )
    first, second = root.iter(f"{SVG}polyline")
    assert (first.get("stroke"), second.get("stroke"), first.get("fill")) == ("#0b5f86", "#b8500f", "none")
    name, *_ = root.iter(f"{SVG}text")
    assert (name.text, name.get("fill"), name.get("font-weight")) == ("ann", "#1d1d1b", "600")
    key = next(line for line in root.iter(f"{SVG}line") if line.get("stroke-width") == "2.5")
    assert (key.get("stroke"), key.get("x1"), key.get("x2")) == ("#0b5f86", "268", "282")


def test_the_accuracy_figure_puts_every_value_where_it_belongs() -> None:
    root = ElementTree.fromstring(draw(toy_report())["accuracy"])
    # from 8 to 332 pixels: student 0.625, bob 0.8, majority 0.75, chance 0.5
    assert [float(dot.get("cx", "")) for dot in root.iter("circle")] == [210.5, 267.2, 251, 170]
    lines = [(line.get("class"), line.get("x1"), line.get("x2")) for line in root.iter("line")]
    assert [ends[1:] for ends in lines if ends[0] == "interval"] == [("72.8", "299.6"), ("234.8", "299.6")]
    assert [ends[1] for ends in lines if ends[0] == "seed"] == ["251", "170"]


def test_the_loss_figure_draws_one_line_a_seed_on_the_axis_of_all_tasks() -> None:
    root = ElementTree.fromstring(standalone(draw(toy_report())["loss_ann"]))
    lines = [line.get("points") for line in root.iter(f"{SVG}polyline")]
    # steps 0 to 20 on 40 to 332; losses of all tasks are 0.25 to 4, so 0.2 (168) to 5 (30): log(5 / 3) / log(25) is 0.1587
    assert lines == ["186,51.9 332,99", "186,48.5 332,81.6"]


def test_an_option_is_cut_to_its_place_and_escaped() -> None:
    labels = ["<b>&", "a very long option that goes on and on"]
    drawn = draw(toy_report(confusion={"labels": labels, "counts": [[1, 0], [0, 1]]}))["confusion"]
    words = [text.text for text in ElementTree.fromstring(standalone(drawn)).iter(f"{SVG}text")]
    assert words.count("<b>&") == 2 and "a very long o…" in words and "<b>" not in drawn


def test_a_run_of_another_shape_can_be_drawn() -> None:
    once = replace(
        toy_results(), curves={3: {"answer": [(1, 0.0)]}}, predictions={3: toy_results().predictions[3]}, exam={}
    )
    report = gather(once, "toy", {})
    for drawn in draw(report).values():
        assert "nan" not in drawn and "inf" not in standalone(drawn)
    none = replace(once, rationales={}, corpus=toy_results().corpus | {"teachers": {}, "agreement": {}})
    page = render(alone := gather(none, "toy", {}), draw(alone))
    assert "Kept rationales" not in page and "Questions</h2>" in page


# --- the file -------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The page's elements with their attributes, and the text of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style"):
            self.inside.append((self.found[-1][0], data))


def test_the_policy_lets_this_script_and_this_style_run_and_nothing_else() -> None:
    report = toy_report()
    elements = Elements(render(report, draw(report)))
    policies = [a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    hashes = {
        tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag, text in elements.inside
        if text.strip() and '{"teachers"' not in text
    }
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    ]


def test_the_page_names_no_address_and_has_no_inline_handler_or_style() -> None:
    report = toy_report()
    page = render(report, draw(report))
    assert not re.findall(r"(?:https?:|//[a-z0-9-]+\.[a-z])", page)
    for tag, attributes in Elements(page).found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert attributes.get("src") is None and (attributes.get("href") or "#").startswith(("#", "data:,")), tag


def test_embedded_json_is_the_data_and_holds_no_character_of_markup() -> None:
    hostile = {"a": "</script><!--<script>&amp;\u2028\u2029 ünï 漢 \x00\x7f", "<b>": [1.5, None]}
    text = embed(hostile)
    assert json.loads(text) == hostile
    assert not set("<>&\u2028\u2029\x00") & set(text) and "漢" in text


# --- a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


class Site(ThreadingHTTPServer):
    """Serves one page, and notes every request."""

    page: str
    asked: list[str]
    base: str


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.path == "/":
            self.wfile.write(self.server.page.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(("127.0.0.1", 0), Handler) as server:
        server.asked, server.base = [], f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def put(tmp_path: Path, report: dict[str, Any]) -> str:
    path = tmp_path / "index.html"
    path.write_text(render(report, draw(report)), encoding="utf-8")
    return path.as_uri()


# Without the icon the browser would ask for one, late, and complain of it when the next test looks.
BARE = "<!DOCTYPE html><link rel=icon href=data:,><title>x</title>"

ASK = """(() => {
    const form = document.getElementById("filters");
    form.reset();
    for (const [name, value] of Object.entries(%s)) form.elements[name].value = value;
    const begun = performance.now();
    form.elements.search.dispatchEvent(new Event("input", {bubbles: true}));
    document.body.getBoundingClientRect();
    return performance.now() - begun;
})()"""
IDS = """[...document.querySelectorAll("#list article")].map(node => node.querySelector(".head span").textContent)"""
COUNT = "document.getElementById('count').textContent"


def ask(browser: Browser, **fields: str) -> list[str]:
    """Set the filters, everything else as at first, and return the ids on the page."""
    browser.run(ASK % json.dumps(fields))
    return browser.run(IDS)


@pytest.mark.slow
def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Browser, site: Site) -> None:
    report = toy_report()
    site.page = render(report, draw(report))
    browser.open(site.base)
    assert browser.run(COUNT) == "7 of 7 questions"  # the script has run
    assert (site.asked, browser.requested(), browser.complaints()) == (["/"], [site.base], [])


@pytest.mark.slow
def test_a_page_that_asks_and_complains_would_be_noticed(browser: Browser, site: Site) -> None:
    site.page = f"{BARE}<img src=leak.png><script>throw Error('oh')</script>"
    browser.open(site.base)
    assert f"{site.base}leak.png" in browser.requested() and "/leak.png" in site.asked
    assert any("oh" in complaint for complaint in browser.complaints())
    assert any("404" in complaint for complaint in browser.complaints())


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["e1", "e2", "e3", "e4", "t1", "t2", "t3"]),
    ({"split": "train"}, ["t1", "t2", "t3"]),
    ({"outcome": "right"}, ["e1", "e4"]),
    ({"outcome": "wrong"}, ["e2", "e3"]),  # one of two seeds is no majority
    ({"outcome": "split"}, ["e2"]),
    ({"status": "ok"}, ["t1", "t3"]),
    ({"status": "refused"}, ["t2", "t3"]),
    ({"teacher": "1", "status": "ok"}, ["t1"]),
    ({"teacher": "0", "status": "refused"}, ["t2"]),
    ({"status": "states_other_option"}, ["t3"]),
    ({"teacher": "0"}, ["t1", "t2", "t3"]),
    ({"search": "cold"}, ["t1", "t2", "t3"]),  # question, question and rationale
    ({"search": "  ICE   Frozen "}, ["t1"]),
    ({"search": "night"}, ["t2"]),  # context
    ({"search": "dry"}, ["e2"]),  # what the student writes
    ({"search": "e3"}, ["e3"]),
    ({"search": "<b>way</b>."}, ["t2"]),
    ({"search": ".*"}, []),
    ({"search": "wet", "outcome": "wrong", "split": "test"}, ["e2", "e3"]),
    ({"outcome": "right", "split": "train"}, []),
]


@pytest.mark.slow
def test_filters_and_search_find_what_they_say(browser: Browser, tmp_path: Path) -> None:
    browser.open(put(tmp_path, toy_report()))
    for fields, ids in FILTERS:
        assert ask(browser, **fields) == ids, fields
        assert browser.run(COUNT) == f"{len(ids)} of 7 questions"
    assert browser.complaints() == []


@pytest.mark.slow
def test_a_test_question_shows_bets_verdict_and_writing(browser: Browser, tmp_path: Path) -> None:
    browser.open(put(tmp_path, toy_report()))
    ask(browser, search="e2")
    assert browser.run("document.querySelector('#list .head').innerText").split("\n") == [
        "e2",
        "test",
        "wrong: 1 of 2 seeds",
    ]
    cells = "[...document.querySelectorAll('#list tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    assert browser.run(cells) == [["(a)no gold", "✓ 50%", "25%"], ["(b)yes", "50%", "✗ 75%"]]
    assert browser.run("[...document.querySelectorAll('#list .own')].map(n => n.innerText)") == [
        "as ann\n\nSand is dry.",
        "as bob\n\nSand is dry.",
    ]
    second = toy_report()["questions"][1] | {"explanations": [None, ""]}
    browser.open(put(tmp_path, toy_report(questions=[second], examples=[])))
    assert browser.run("[...document.querySelectorAll('#list .own')].map(n => n.innerText)") == ["as bob\n\nnothing"]
    browser.open(put(tmp_path, toy_report()))
    ask(browser, search="e3")
    assert (
        browser.run("document.querySelector('#list .note').innerText") == "Seed 3 writes yes yes"
    )  # the marks around it are the style's


@pytest.mark.slow
def test_a_train_question_shows_every_teacher_side_by_side_and_marks_what_was_searched(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open(put(tmp_path, toy_report()))
    ask(browser, search="ice is")
    assert browser.run("[...document.querySelectorAll('#list mark')].map(n => n.textContent.toLowerCase())")[:3] == [
        "is",
        "ice",
        "ice",
    ]
    voices = "[...document.querySelectorAll('#list article:first-child .voice')].map(n => n.innerText)"
    assert browser.run(voices) == [
        "ann\nkept\n\nIce is frozen water, so it is cold.",
        "bob\nkept\n\nWater that is ice is cold.",
    ]
    ask(browser, search="t2")
    assert browser.run(voices) == ["ann\ndeclined\n\nno rationale", "bob\ntoo short\n\nNo <b>way</b>."]


def numbered(n: int) -> list[dict]:
    """Plain questions, of which each third is a train question."""
    asked = []
    for i in range(n):
        words = " ".join(f"w{(i * 7 + j * j) % 997}" for j in range(60))
        one: dict[str, Any] = {
            "id": f"n{i}",
            "question": f"Question {i}? {words[:120]}",
            "choices": ["yes", "no"],
            "gold": i % 2,
        }
        if i % 3:
            one |= {
                "split": "test",
                "answers": [{"choice": 0, "p": [0.75, 0.25]}, {"choice": i % 5 % 2, "p": [0.5, 0.5]}],
            }
        else:
            one |= {
                "split": "train",
                "rationales": [["ok", words], ["declined", None] if i % 2 else ["ok", words[::-1]]],
            }
        asked.append(one)
    return asked


@pytest.mark.slow
def test_pages_are_turned_to_the_last_and_back(browser: Browser, tmp_path: Path) -> None:
    browser.open(put(tmp_path, toy_report(questions=numbered(25), examples=[])))

    def press(button: str) -> tuple[str, list[str]]:
        browser.run(f"document.getElementById('{button}').click()")
        return browser.run("document.getElementById('place').textContent"), browser.run(IDS)

    assert press("next") == ("11–20", [f"n{i}" for i in range(10, 20)])
    assert press("more") == ("21–25", [f"n{i}" for i in range(20, 25)])
    assert browser.run("['previous', 'next', 'more'].map(n => document.getElementById(n).disabled)") == [
        False,
        True,
        True,
    ]
    assert press("previous")[0] == "11–20"
    assert ask(browser, split="train") == [f"n{i}" for i in range(0, 25, 3)]  # a new search begins at its start
    assert press("next")[0] == "1–9"


@pytest.mark.slow
def test_five_thousand_questions_are_filtered_in_under_200_ms(browser: Browser, tmp_path: Path) -> None:
    questions = numbered(5000)
    browser.open(put(tmp_path, toy_report(questions=questions, examples=[])))
    slowest = 0.0
    for fields, n in (
        ({}, 5000),
        ({"split": "test"}, 3333),
        ({"search": "w13"}, sum("w13" in json.dumps(question) for question in questions)),
        ({"search": "question w1 w2 w3 yes no"}, None),
        ({"search": "nowhere"}, 0),
        ({"outcome": "wrong"}, None),
        ({"outcome": "split", "search": "w5"}, None),
        ({"teacher": "1", "status": "declined"}, 833),
    ):
        slowest = max(slowest, min(browser.run(ASK % json.dumps(fields)) for _ in range(3)))
        assert n is None or browser.run(COUNT) == f"{n:,} of 5,000 questions"
    print(f"slowest filter: {slowest:.1f} ms")
    assert slowest < 200
    assert browser.run("document.querySelectorAll('*').length") < 2000  # whatever the set's size


@pytest.mark.slow
def test_everything_can_be_reached_by_keyboard_and_the_focus_is_seen(browser: Browser, tmp_path: Path) -> None:
    browser.open(put(tmp_path, toy_report(questions=numbered(25), examples=[])))

    def files(*figures: str) -> list[str]:
        return [f"{figure}.{ending}" for figure in figures for ending in ("svg", "png")]

    sections = ["#learning", "#kept", "#errors", "#reading", "#questions"]
    learning = files("valid", "loss_answer", "loss_ann", "loss_bob", "kept_ann", "kept_bob")
    faults = ["kept", "declined", "states other option", "too short"]
    rest = [
        *files("confusion", "words_ann", "words_bob", "shared_words"),
        "search",
        "split",
        "outcome",
        "teacher",
        "status",
    ]
    expected = [*files("accuracy"), *sections, *learning, *faults, *rest, "next", "more"]
    reached = []
    for _ in expected:
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        at = "document.activeElement"
        reached.append(browser.run(f"{at}.name || {at}.id || {at}.hash || {at}.querySelector('b').textContent"))
        assert (
            browser.run(f"getComputedStyle({at}).outlineStyle + getComputedStyle({at}).outlineWidth") == "solid3px"
        ), reached
    assert reached == expected


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_page_without_scrolling_sideways_in_the_colours_asked_for(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    long = "x" * 300
    questions = numbered(3)
    questions[0] |= {"question": long, "rationales": [["ok", long], ["declined", long]]}
    questions[1] |= {"choices": [long, "no"], "context": long}
    browser.open(put(tmp_path, toy_report(questions=questions, examples=["n0"])))
    try:
        browser.screenshot(tmp_path / "phone.png", 390, 844, scheme)
        assert browser.run("document.documentElement.scrollWidth") == 390
        boxes = "[...document.querySelectorAll('#list .scroll')].map(node => node.scrollWidth - node.clientWidth)"
        assert browser.run(boxes) == [0, 0, 0]
        shade = [int(PALETTE[scheme]["paper"][i : i + 2], 16) for i in (1, 3, 5)]
        assert browser.run("getComputedStyle(document.body).backgroundColor") == f"rgb({', '.join(map(str, shade))})"
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.call("Emulation.setEmulatedMedia", features=[])


# --- hostile text ---------------------------------------------------------------------------------------------------

HIT = "window.hits=(window.hits||0)+1"
PAYLOADS = [
    f"<script>{HIT}</script>",
    f"</script><script>{HIT}</script>",
    f"<!--<script></script><script>{HIT}</script>-->",
    f"--><script>{HIT}</script>",
    f"<img src=x onerror={HIT}>",
    f'"><img src=x onerror={HIT}>',
    f"'><img src=x onerror={HIT}>",
    f"<svg onload={HIT}>",
    f"<svg/onload={HIT}//",
    f"</svg><svg onload={HIT}>",
    f"<svg><script>{HIT}</script></svg>",
    f"<svg><animate onbegin={HIT} attributeName=x dur=1s>",
    f"<math><mtext><img src=x onerror={HIT}></mtext></math>",
    f"</title><script>{HIT}</script>",
    f"</style><script>{HIT}</script>",
    f"</textarea><script>{HIT}</script>",
    f"</select><img src=x onerror={HIT}>",
    f"</option></select><script>{HIT}</script>",
    f'<noscript><p title="</noscript><img src=x onerror={HIT}>">',
    f'<iframe srcdoc="<script>parent.{HIT}</script>"></iframe>',
    f'<iframe src="javascript:parent.{HIT}"></iframe>',
    f'<object data="javascript:{HIT}"></object>',
    f'<embed src="javascript:{HIT}">',
    f"<video><source onerror={HIT}></video>",
    f"<audio src=x onerror={HIT}>",
    f"<details open ontoggle={HIT}>x</details>",
    f"<input autofocus onfocus={HIT}>",
    f"<body onload={HIT}>",
    f"<p style=animation-name:x onanimationstart={HIT}>",
    f'<a href="javascript:{HIT}">read more</a>',
    f"[read more](javascript:{HIT})",
    f"javascript:{HIT}",
    f'" onmouseover="{HIT}" x="',
    f"';{HIT};//",
    f'\\"}}];{HIT};//',
    f"\\u003cscript\\u003e{HIT}\\u003c/script\\u003e",
    f"&lt;script&gt;{HIT}&lt;/script&gt;",
    f"&#60;img src=x onerror={HIT}&#62;",
    f"${{{HIT}}}",
    f"{{{{constructor.constructor('{HIT}')()}}}}",
    "{{ report.score }}{% include 'report.js' %}{# x #}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    f"\u2028{HIT}\u2029{HIT}",
    "<meta http-equiv=refresh content='0;url=leak'>",
    "<link rel=stylesheet href=leak><style>@import 'leak';*{display:none}</style>",
    "<base href='leak/'><form action=leak><button autofocus>",
    "<plaintext>",
    f"<![CDATA[<script>{HIT}</script>]]>",
    "\u202e<b>gold</b>\u202c \u200b__proto__",
    f"<template><script>{HIT}</script></template><xmp>",
]


def hostile_report() -> dict[str, Any]:
    """Every payload as question, context, option, generated text, rationale, explanation, id and teacher."""
    n = len(PAYLOADS)
    questions: list[dict[str, Any]] = []
    for i, payload in enumerate(PAYLOADS):
        choices = [payload, PAYLOADS[(i + 1) % n]]
        asked = {"question": payload, "context": payload, "choices": choices, "gold": 0}
        answers = [{"choice": 0, "p": [0.5, 0.5], "wrote": payload}, {"choice": 1, "p": [0.4, 0.6], "wrote": payload}]
        said = [PAYLOADS[(i + j) % n] for j in range(n)]
        questions.append({"id": f"e{i}{payload}", "split": "test"} | asked | {"answers": answers, "explanations": said})
        questions.append(
            {"id": f"t{i}{payload}", "split": "train"} | asked | {"rationales": [["ok", text] for text in said]}
        )
    report = toy_report(dataset=PAYLOADS[0], teachers=PAYLOADS, questions=questions, examples=[questions[1]["id"]])
    counts = {
        "train": {"kept": 1, "quarantined": 1, "reasons": {PAYLOADS[4]: 1}},
        "valid": {"kept": 1, "quarantined": 0},
    }
    return report | {
        "teacher_rows": [{"name": payload, "parameters": 10, "ratio": 2.0, "accuracy": 0.5} for payload in PAYLOADS],
        "corpus": {
            "teachers": {payload: counts for payload in PAYLOADS},
            "agreement": {payload: {"both_kept": 1, "both_state": 0} for payload in PAYLOADS},
        },
        "curves": {3: {payload: [(1, 2.0), (2, 1.0)] for payload in ["answer", *PAYLOADS]}},
        "lengths": {"width": 1, "teachers": {payload: {"median": 1, "counts": [0, 1]} for payload in PAYLOADS}},
        "confusion": {"labels": PAYLOADS[:5], "counts": [[1] * 5] * 5},
    }


WALK = """(async () => {
    const seen = {text: [], tags: new Set(), attributes: new Set()};
    for (const select of document.querySelectorAll("select")) seen.text.push(...[...select.options].map(o => o.textContent));
    for (;;) {
        for (const node of document.querySelectorAll("#list *, #examples *")) {
            seen.tags.add(node.localName);
            for (const attribute of node.attributes) seen.attributes.add(attribute.name);
        }
        const leaves = "#list p, #list b, #list q, #list th span:not(.letter), #list .head span";
        seen.text.push(...[...document.querySelectorAll(leaves)].map(node => node.textContent));
        await new Promise(done => setTimeout(done, 0));
        if (document.getElementById("next").disabled) break;
        document.getElementById("next").click();
    }
    await new Promise(done => setTimeout(done, 100));
    return {hits: window.hits || 0, text: seen.text, tags: [...seen.tags], attributes: [...seen.attributes]};
})()"""


@pytest.mark.slow
def test_fifty_payloads_stay_text_wherever_they_stand(browser: Browser, site: Site) -> None:
    assert len(set(PAYLOADS)) == 50
    report = hostile_report()
    site.page = render(report, draw(report))
    browser.open(site.base)
    found = browser.run(WALK)
    assert found["hits"] == 0
    told = {text: found["text"].count(text) for text in PAYLOADS}
    # Of the 50 test and 50 train questions: 2 asked, 2 contexts, 4 options, 2 generated texts, 50 explanations and 50
    # rationales with 50 names, and the name once more in the list of teachers.
    assert told == dict.fromkeys(PAYLOADS, 161)
    allowed = {"article", "div", "p", "span", "table", "thead", "tbody", "tr", "th", "td", "i", "b", "q", "header"}
    assert set(found["tags"]) <= allowed and set(found["attributes"]) <= {"class", "scope", "style"}
    assert (site.asked, browser.requested(), browser.complaints()) == (["/"], [site.base], [])
    assert browser.run("document.title") == f"{PAYLOADS[0]} · TinyLLM report"
    assert browser.run("document.scripts.length") == 2


@pytest.mark.slow
def test_searching_for_a_payload_finds_and_marks_it_as_text(browser: Browser, tmp_path: Path) -> None:
    plain = {"split": "test", "choices": ["yes", "no"], "gold": 0, "answers": [{"choice": 0, "p": [1, 0]}] * 2}
    questions = [{"id": f"e{i}", "question": payload} | plain for i, payload in enumerate(PAYLOADS)]
    browser.open(put(tmp_path, toy_report(questions=questions, examples=[])))
    marks = "[...document.querySelectorAll('#list mark')].map(node => node.textContent)"
    for payload in PAYLOADS:
        word = max(payload.split(), key=len)
        holding = [f"e{i}" for i, other in enumerate(PAYLOADS) if word.lower() in other.lower()]
        assert ask(browser, search=word) == holding[:10], word
        assert {mark.lower() for mark in browser.run(marks)} == {word.lower()}
    assert browser.run("window.hits || 0") == 0 and browser.complaints() == []


@pytest.mark.slow
def test_the_payloads_would_strike_in_a_page_that_did_not_escape_them(browser: Browser, site: Site) -> None:
    struck = 0
    for payload in PAYLOADS[:12]:
        site.page = f"{BARE}<p>{payload}</p>"
        browser.open(site.base)
        struck += browser.run("window.hits || 0") > 0
    assert struck >= 8


def test_the_page_says_that_a_run_is_a_control_and_had_few_gold_answers() -> None:
    report = toy_report()
    plain = render(report, draw(report))
    answers = {"labelled": 1, "unlabelled": 2, "made": 0, "left_out": 2}
    report = toy_report(corpus={**report["corpus"], "control": "length", "answers": answers})
    page = render(report, draw(report))
    notes = re.findall("<p><b>(.*)</b></p>", page)
    assert notes == [
        "This run is a control of what rationales teach: in place of each rationale, as many words of other questions&#39; "
        "rationales were learnt.",
        "Of train, 1 questions kept their gold answers.",
        "2 others were left out.",
    ]
    assert not re.findall("<p><b>(.*)</b></p>", plain)
