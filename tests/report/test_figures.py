"""The figures of teachers and voices, the curve of valid and the forest plot: each mark where its number says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from tests.report.test_voices import voiced
from tests.runs import PREDICTIONS, toy_results
from tinyllm.records.surroundings import Attribution
from tinyllm.report.contents import gather
from tinyllm.report.figures import Estimate, attribution_figure, draw, forest
from tinyllm.report.figures.curves import valid_curves
from tinyllm.report.figures.heat_map import heat_map
from tinyllm.report.figures.voices import carried_and_misled, voices
from tinyllm.report.page import render


def marks(drawn: Markup, tag: str, style: str, *keys: str) -> list[tuple[str, ...]]:
    """The attributes of the marks of a kind and a class, in their order."""
    found = [mark for mark in ElementTree.fromstring(drawn).iter(tag) if style in mark.get("class", "").split()]
    return [tuple(mark.get(key, "") for key in keys) for mark in found]


def texts(drawn: Markup) -> list[str]:
    return [mark.text or "" for mark in ElementTree.fromstring(drawn).iter("text")]


def says(drawn: Markup) -> str:
    return ElementTree.fromstring(drawn).get("aria-label", "")


# --- accuracy on valid ----------------------------------------------------------------------------------------------


def test_the_curve_of_valid_has_every_look_and_a_dot_at_the_first_best_one() -> None:
    looks = {3: [(10, 0.25), (20, 0.5), (40, 0.5)], 7: [(10, 0.4), (20, 0.3)]}
    drawn = valid_curves(looks, {})
    # steps 0 to 40 on 40 to 332, so 7.3 a step; 20% to 50% on 168 to 30, so 4.6 a point
    assert [ends for (ends,) in marks(drawn, "polyline", "s0", "points")] == ["113,145 186,30 332,30"]
    assert marks(drawn, "circle", "s0", "cx", "cy") == [("186", "30")]
    assert marks(drawn, "circle", "s1", "cx", "cy") == [("113", "76")]
    assert [label for label in texts(drawn) if "%" in label] == ["20%", "30%", "40%", "50%"]
    assert (
        says(drawn)
        == "Accuracy on valid by step: seed 3 is best at step 20 with 50.0%, seed 7 is best at step 10 with 40.0%"
    )


def test_one_look_alone_is_a_dot_on_the_axis_of_the_losses() -> None:
    drawn = valid_curves({3: [(10, 0.5)]}, {3: {"answer": [(20, 1.0)]}})
    assert marks(drawn, "polyline", "s0", "points") == []
    assert marks(drawn, "circle", "s0", "cx", "cy") == [("186", "99")]  # half of the steps, and of 40% to 60%


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_curve_at_an_end_stays_within_0_and_100_percent(share: float) -> None:
    labels = [label for label in texts(valid_curves({1: [(0, share), (5, share)]}, {})) if "%" in label]
    assert labels == (["0%", "5%", "10%", "15%", "20%"] if share == 0 else ["80%", "85%", "90%", "95%", "100%"])


# --- agreement ------------------------------------------------------------------------------------------------------


def test_the_heat_map_is_shaded_by_the_share_on_both_sides_of_the_diagonal() -> None:
    drawn = heat_map(["ann", "bob", "cy"], {("ann", "bob"): 0.5, ("bob", "cy"): 1.0}, "the same stated answer")
    # names take 12 + 3 * 7 pixels; cells are as wide as they may be, 84, and 44 high
    assert marks(drawn, "rect", "cell", "x", "y", "fill-opacity") == [
        ("118", "51", "0.5"),
        ("34", "95", "0.5"),
        ("202", "95", ""),
        ("118", "139", ""),
    ]
    assert texts(drawn)[:3] == ["the same stated answer", "ann", "ann"] and texts(drawn).count("50%") == 2
    assert texts(drawn).count("·") == 2, "of ann and cy nothing is known"
    assert says(drawn) == "the same stated answer: ann and bob 50%, bob and cy 100%"


def test_many_teachers_have_numbers_above_and_a_scale_below() -> None:
    names = [f"teacher-with-a-name-{i}" for i in range(1, 18)]
    drawn = heat_map(names, {(names[0], names[16]): 0.25}, "shared words")
    told = texts(drawn)
    assert [told.count(str(n)) for n in (1, 9, 17)] == [1, 1, 1] and "17 teacher-wi…" in told
    assert told[-2:] == ["0%", "100%"] and "25%" not in told  # no room in a cell
    every = {(a, b): 0.25 + 0.5 * (b == names[16]) for a in names for b in names if a < b}
    assert says(heat_map(names, every, "shared words")) == "shared words: 136 pairs of 17 teachers, from 25% to 75%"
    assert {box[0] for box in marks(drawn, "rect", "cell", "fill-opacity")} == {"0.04", "0.25", "0.5", "0.75", ""}


def test_the_page_draws_the_agreement_that_is_known_and_folds_many_pairs_away() -> None:
    results = toy_results()
    plain = gather(results, "toy", {})
    assert "shared_words" in draw(plain) and "agreement" not in draw(plain)  # no two of the toys state an answer
    both = {"ann+bob": {"both_state": 4, "both_kept": 1, "same_answer": 0.75, "overlap": 0.6}}
    report: Any = {**plain, "corpus": {**results.corpus, "agreement": both}}
    figures = draw(report)
    assert texts(figures["agreement"]).count("75%") == 2 and texts(figures["shared_words"]).count("60%") == 2
    assert '<figure data-figure="agreement">' in render(report, figures)
    assert "Every pair in numbers" not in render(report, figures)
    report["corpus"]["agreement"] = both | {f"a{i}+b": {"both_state": 0, "both_kept": 0} for i in range(6)}
    assert "<details><summary>Every pair in numbers</summary>" in render(report, draw(report))


# --- voices ---------------------------------------------------------------------------------------------------------

PARTS = {
    "ann": {"accuracy": 0.5, "weight": 0.6, "carried": 0.25, "misled": 0.0, "without": 0.25},
    "bob": {"accuracy": 0.25, "weight": 0.4, "carried": 0.0, "misled": 0.125, "without": 0.75},
}


def test_a_voice_is_a_dot_and_the_vote_without_it_a_ring() -> None:
    drawn = voices(0.5, {"ann": 0.5, "bob": 0.25}, PARTS)  # type: ignore[arg-type]
    # 0 to 1 on 8 to 332; the row of the students' answer comes first
    assert marks(drawn, "circle", "dot", "cx", "cy") == [("170", "30")]
    assert marks(drawn, "circle", "other", "cx", "cy") == [("170", "72"), ("89", "114"), ("14", "164")]  # and the key
    assert marks(drawn, "circle", "ring", "cx", "cy") == [("89", "72"), ("251", "114"), ("140", "164")]
    assert says(drawn) == (
        "Accuracy in voices: the students' answer 50.0%, ann 50.0%, bob 25.0%; the vote without ann 25.0%, bob 75.0%"
    )
    alone = voices(0.5, {"ann": 0.5}, {})
    assert marks(alone, "circle", "ring", "cx") == [] and "the vote without it" not in texts(alone)


def test_what_a_voice_carried_goes_right_and_what_it_misled_left() -> None:
    drawn = carried_and_misled(PARTS)  # type: ignore[arg-type]
    # the largest, 25%, has 170 - 52 pixels
    assert marks(drawn, "rect", "good", "x", "width") == [("170", "118"), ("170", "0")]
    assert marks(drawn, "rect", "bad", "x", "width") == [("170", "0"), ("111", "59")]
    assert says(drawn) == "Of all answers, by voice: ann carried 25.0%, misled 0%; bob carried 0%, misled 12.5%"


def test_the_page_draws_voices_where_there_were_any_and_their_agreement_where_they_voted() -> None:
    said = {
        "ann": {"rationale": "", "choice": 0, "scores": [-0.1, -2.4], "weight": 0.6, "tokens": 5},
        "bob": {"rationale": "", "choice": 1, "scores": [-2.4, -0.1], "weight": 0.4, "tokens": 1},
    }
    predictions = {seed: [{**row, "choice": 0, "voices": said} for row in rows] for seed, rows in PREDICTIONS.items()}
    voted = draw(gather(replace(voiced(), predictions=predictions), "toy", {}))
    assert texts(voted["voices_agreement"]).count("0%") == 2  # they never agree
    assert {"voices", "voices_carried"} <= voted.keys()
    assert {name for name in draw(gather(voiced(), "toy", {})) if "voices" in name} == {"voices"}
    assert not [name for name in draw(gather(toy_results(), "toy", {})) if "voices" in name]


# --- differences ----------------------------------------------------------------------------------------------------

ARMS: Attribution = {
    "accuracy": 0.841,
    "arms": [
        {"name": "without ann", "value": -0.1, "low": -0.15, "high": -0.05, "shown": True},
        {"name": "bob alone", "value": 0.01, "low": -0.02, "high": 0.04, "shown": False},
    ],
    "missing": ["ann alone"],
    "why": "",
}


def test_a_forest_has_a_band_a_dot_and_the_numbers_of_each_difference() -> None:
    drawn = attribution_figure(ARMS)
    # -15 to 5 points on 14 to 326: 15.6 a point
    assert marks(drawn, "line", "interval", "x1", "x2") == [("14", "170"), ("216.8", "310.4")]
    assert marks(drawn, "circle", "dot", "cx") == [("92",)] and marks(drawn, "circle", "ring", "cx") == [("263.6",)]
    assert {x for (x,) in marks(drawn, "line", "axis", "x1")} == {"248"}  # nothing gained, nothing lost
    told = texts(drawn)
    assert told[:5] == ["-15", "-10", "-5", "0", "+5"]
    assert told[5:9] == ["without ann", "-10.0 (-15.0 to -5.0)", "bob alone", "+1.0 (-2.0 to +4.0)"]
    assert told[9:] == ["← worse", "points against all teachers", "better →"]


def test_a_forest_of_nothing_but_gains_has_its_line_at_0_and_cuts_long_names() -> None:
    drawn = forest([Estimate("x" * 80, 0.3, 0.2, 0.4, True)], "c" * 80)
    assert texts(drawn)[:5] == ["0", "+10", "+20", "+30", "+40"]
    assert marks(drawn, "line", "axis", "x1") == [("14",)]
    assert "x" * 24 + "…" in texts(drawn) and f"points against {'c' * 15}…" in texts(drawn)


def test_the_page_shows_who_helped_where_that_was_found_and_says_where_it_cannot_be_read() -> None:
    report = gather(toy_results(), "toy", {})
    page = render(report, draw(report), attribution=ARMS)
    assert '<a href="#helped">Who helped</a>' in page and '<figure data-figure="attribution">' in page
    assert "Without a result: ann alone; <code>tinyllm attribute --run</code> runs them." in page
    unread: Attribution = {"accuracy": 0.0, "arms": [], "missing": [], "why": "a <b>: gone"}
    assert "that can be read (a &lt;b&gt;: gone)" in render(report, draw(report), attribution=unread)
    nothing: Attribution = {**unread, "why": ""}
    for found in (None, nothing):
        assert "Who helped" not in render(report, draw(report), attribution=found)
