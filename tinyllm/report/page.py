"""The report as one HTML file that asks nothing of a network and runs nothing that the data brings.

Text of models and data sets is never markup: the template and the drawings escape it, and what the browser of questions
shows lies in a JSON block that its script puts into text nodes. Should something slip through all the same, the page's own
policy lets no script run but the one whose hash it names, and lets nothing be loaded or sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tinyllm.evaluation.wording import corpus_notes
from tinyllm.records.surroundings import Attribution, Control, Origin
from tinyllm.report.figures import attribution_figure, percent
from tinyllm.report.figures.paper import MARGIN, paper_rules
from tinyllm.report.figures.svg import PALETTE, stylesheet
from tinyllm.report.gathered import Report
from tinyllm.report.saved import digest
from tinyllm.report.verdict import verdict

FOLDER = Path(__file__).parent
ATTRIBUTION = "attribution"  # the figure that DVC does not keep: it comes with the experiments, not with the run
UNSAFE = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})  # in JSON these stand in strings only


def render(
    report: Report,
    figures: Mapping[str, Markup],
    origin: Origin | None = None,
    control: Control | None = None,
    attribution: Attribution | None = None,
) -> str:
    """Return the page.

    Args:
        report: of `report.gather`
        figures: of `figures.draw`
        origin: of `experiments.find_origin`; None where nobody looked
        control: of `experiments.find_control`; None where nobody looked
        attribution: of `experiments.find_attribution`; None where nobody looked
    """
    helped = attribution if attribution and (attribution["arms"] or attribution["why"]) else None
    if helped and helped["arms"]:
        figures = {**figures, ATTRIBUTION: attribution_figure(helped)}
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "rounded": rounded}
    style = "\n" + palette_rules() + stylesheet() + (FOLDER / "report.css").read_text(encoding="utf-8")
    script = "\n" + (FOLDER / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        report=report,
        digest=digest(report),
        origin=origin,
        verdict=verdict(report, control),
        notes=corpus_notes(report["corpus"]),
        figures=figures,
        attribution=helped,
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=embed(
            {
                "teachers": report["teachers"],
                "seeds": report["seeds"],
                "paper": paper_rules(),
                "margin": MARGIN,
                "examples": report["examples"],
                "questions": report["questions"],
            }
        ),
    )


def embed(data: object) -> Markup:
    """Return JSON that can stand in a script element: no character of it can end the element or open another."""
    return Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).translate(UNSAFE))


def policy(style: str, script: str) -> str:
    """The content security policy: this style and this script, by their hashes, and nothing else from anywhere."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def palette_rules() -> str:
    """The colours as CSS variables, light ones unless the reader's system asks for dark."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in PALETTE[scheme].items()) for scheme in ("light", "dark")
    )
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"


def rounded(n: float) -> str:
    """A size as it is read: 210,688 stays, 6740000000 is 6.74 billion, a ratio of 31990.4 is 32,000."""
    for unit, name in ((1e9, " billion"), (1e6, " million")):
        if n >= unit:
            return f"{n / unit:.3g}{name}"
    return f"{n:,}" if isinstance(n, int) else f"{float(f'{n:.3g}'):,.0f}" if n >= 100 else f"{n:.3g}"
