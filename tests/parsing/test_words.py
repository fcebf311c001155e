"""The words of a text that carry meaning."""

from __future__ import annotations

from tinyllm.parsing.words import content_words


def test_content_words_leave_out_what_every_text_has_and_match_across_plural_and_tense() -> None:
    assert content_words("The lamps of the house glowed; a lamp was glowing") == {"lamp", "house", "glowe", "glowi"}
