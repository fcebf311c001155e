"""What each voice did in a vote, with numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tinyllm.evaluation.votes import vote_is_right, vote_parts


def voice(weight: float, gold: float) -> dict[str, Any]:
    """Of two options, the first of which is the gold one and has this probability."""
    scores = [math.log(gold), math.log(1 - gold)]
    return {"rationale": "", "choice": int(gold < 0.5), "scores": scores, "weight": weight, "tokens": 1}


def row(*golds: float) -> dict[str, Any]:
    """Voices of 0.5, 0.3 and 0.2 of the vote."""
    voices = {name: voice(w, g) for name, w, g in zip(("ann", "bob", "cy"), (0.5, 0.3, 0.2), golds, strict=True)}
    sure = sum(one["weight"] * math.exp(one["scores"][0]) for one in voices.values())
    return {"gold": 0, "choice": int(sure < 0.5), "scores": [math.log(sure), math.log(1 - sure)], "voices": voices}


# the vote's probability of gold: 0.45 + 0.06 + 0.04 = 0.55 | 0.1 + 0.24 + 0.18 = 0.52 | 0.05 + 0.27 + 0.08 = 0.40
# without ann: (0.06 + 0.04) / 0.5 = 0.2 | (0.24 + 0.18) / 0.5 = 0.84 | (0.27 + 0.08) / 0.5 = 0.7
# without bob: 0.49 / 0.7 = 0.7 | 0.28 / 0.7 = 0.4 | 0.13 / 0.7 = 0.19
# without cy: 0.51 / 0.8 = 0.64 | 0.34 / 0.8 = 0.425 | 0.32 / 0.8 = 0.4
ROWS = [row(0.9, 0.2, 0.2), row(0.2, 0.8, 0.9), row(0.1, 0.9, 0.4)]


def test_each_voice_is_taken_out_of_the_vote() -> None:
    found = vote_parts(ROWS)
    assert found is not None
    assert found["accuracy"] == pytest.approx(2 / 3)
    third = pytest.approx(1 / 3)
    ann, bob, cy = (found["voices"][name] for name in ("ann", "bob", "cy"))
    assert (ann["accuracy"], ann["carried"], ann["misled"], ann["without"]) == (
        third,
        third,
        third,
        pytest.approx(2 / 3),
    )
    assert (bob["accuracy"], bob["carried"], bob["misled"], bob["without"]) == (pytest.approx(2 / 3), third, 0, third)
    assert (cy["accuracy"], cy["carried"], cy["misled"], cy["without"]) == (third, third, 0, third)
    assert [round(part["weight"], 4) for part in (ann, bob, cy)] == [0.5, 0.3, 0.2]
    assert found["agreement"]["ann"] == {"bob": 0.0, "cy": third}
    assert found["agreement"]["bob"] == {"ann": 0.0, "cy": pytest.approx(2 / 3)}


def test_what_all_voices_say_is_the_prediction_itself() -> None:
    assert [vote_is_right(one, ["ann", "bob", "cy"]) for one in ROWS] == [True, True, False]


def test_free_texts_are_one_answer_where_exact_match_takes_them_for_one() -> None:
    def said(answer: str | None, matched: bool, weight: float) -> dict[str, Any]:
        return {"rationale": "", "answer": answer, "matched": matched, "weight": weight, "tokens": 1}

    voices = {"ann": said("7", False, 0.4), "bob": said("12.0", True, 0.3), "cy": said("12", True, 0.3)}
    asked = {"gold": "12", "choice": None, "scores": [], "matched": True, "voices": voices}
    assert vote_is_right(asked, ["ann", "bob", "cy"]) and vote_is_right(asked, ["bob", "cy"])
    assert not vote_is_right(asked, ["ann", "bob"])  # 0.4 against 0.3
    voices["ann"]["weight"] = 0.3
    assert not vote_is_right(asked, ["ann", "bob"]), "of equal weights the answer that is given first"
    assert vote_is_right(asked, ["bob", "ann"])
    voices["ann"]["answer"] = None
    assert vote_is_right(asked, ["ann", "bob"]) and not vote_is_right(asked, ["ann"])


def test_no_vote_is_no_vote() -> None:
    assert vote_parts([]) is None
    assert vote_parts([{"gold": 0, "choice": 0, "scores": [-0.1, -2.0]}]) is None
    assert vote_parts([{**ROWS[0], "voices": {"ann": ROWS[0]["voices"]["ann"]}}]) is None
