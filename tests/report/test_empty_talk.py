"""Which explanations say nothing."""

from __future__ import annotations

import pytest

from tinyllm.report.empty_talk import empty_talk, says_nothing


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("... , !", "empty"),
        ("the the the the", "repeats itself"),
        ("The, the. THE", "repeats itself"),
        ("water ice water ice water ice", "repeats itself"),
        ("It is so. It is so. It is so.", "repeats itself"),
        ("eeeeeeeeeeee", "repeats itself"),
        ("的的的的的的", "repeats itself"),
        ("The note zinc points to chill.", ""),
        ("no", ""),
        ("yes yes", ""),
        ("1000000", ""),
        ("Mississippi", ""),
        ("The key sinks, the stone sinks, the cork does not.", ""),
        ("水结成冰所以很冷", ""),
    ],
)
def test_a_text_says_nothing_where_it_is_empty_or_goes_round_in_circles(text: str, why: str) -> None:
    assert says_nothing(text) == why


def test_the_same_text_for_most_questions_says_nothing_about_any() -> None:
    explanations = {f"e{i}": {"ann": "The note points to chill.", "bob": f"On {i}, chill."} for i in range(3)}
    explanations["e3"] = {"ann": "Zinc points to pests.", "bob": ""}
    same = "the same for other questions"
    assert empty_talk(explanations) == {
        "e0": {"ann": same},
        "e1": {"ann": same},
        "e2": {"ann": same},
        "e3": {"bob": "empty"},
    }


@pytest.mark.parametrize("times", [1, 2])
def test_a_text_that_few_questions_share_may_be_right_for_each(times: int) -> None:
    explanations = {f"e{i}": {"ann": "Ice is cold." if i < times else f"On {i}."} for i in range(6)}
    assert empty_talk(explanations) == {}


def test_one_voice_does_not_make_another_one_empty() -> None:
    assert empty_talk({"e1": {"ann": "Ice is cold.", "bob": "Ice is cold.", "cy": "Ice is cold."}}) == {}
