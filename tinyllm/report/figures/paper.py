"""A drawing as a file of its own, for a paper: every mark has its own colours and no style sheet is needed."""

from __future__ import annotations

import re
from functools import cache
from xml.etree import ElementTree

from markupsafe import Markup

from tinyllm.report.figures.svg import PALETTE, number, stylesheet

NAMESPACE = "http://www.w3.org/2000/svg"
RULE = re.compile(r"^(svg(?: [.\w]+)?) \{ (.*) \}$", re.MULTILINE)
MARGIN = 8  # pixels around a figure: a label at the end of an axis reaches out of the drawing
HALO = ("stroke", "stroke-width", "stroke-linejoin", "paint-order")  # of a text


@cache
def paper_rules() -> list[tuple[str, dict[str, str]]]:
    """Return the figures' rules as attributes for the marks that a selector names, in light colours, the weakest rule first.

    Attributes are what every program that takes SVG knows; few know variables or style sheets. Texts lose their halo: a
    program that does not know `paint-order` would paint it over the letters.
    """
    colours = PALETTE["light"] | {"paper": "#ffffff"}
    found = []
    for selector, written in RULE.findall(stylesheet()):
        plain = re.sub(r"var\(--(\w+)\)", lambda match: colours[match[1]], written)
        pairs = [one.split(":", 1) for one in plain.split(";") if one.strip()]
        attributes = {name.strip(): value.strip() for name, value in pairs}
        selector = selector.removeprefix("svg ")
        if selector == "text":
            attributes = {name: value for name, value in attributes.items() if name not in HALO}
        found.append((selector, attributes))
    return sorted(found, key=lambda rule: rule[0].startswith("."))  # a class beats an element, as in CSS


def standalone(drawn: Markup) -> str:
    """Return the drawing as an SVG file: in light colours on white, of its size in pixels, titled by what it says."""
    root = ElementTree.fromstring(drawn)
    for selector, attributes in paper_rules():
        for mark in root.iter():
            if _is_named(mark, selector):
                mark.attrib |= attributes
    for mark in root.iter():
        mark.attrib.pop("class", None)
    wide, high = (float(side) + 2 * MARGIN for side in root.get("viewBox", "").split()[2:])
    title = ElementTree.Element("title")
    title.text = root.get("aria-label")
    corner, size = number(-MARGIN), {"width": number(wide), "height": number(high)}
    ground = ElementTree.Element("rect", {"x": corner, "y": corner, **size, "fill": "#ffffff"})
    root.insert(0, title)
    root.insert(1, ground)
    box = {"viewBox": f"{corner} {corner} {number(wide)} {number(high)}"}
    root.attrib |= {"xmlns": NAMESPACE, **size, **box}
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _is_named(mark: ElementTree.Element, selector: str) -> bool:
    return mark.tag == selector or (selector[0] == "." and selector[1:] in mark.get("class", "").split())
