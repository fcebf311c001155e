"""The vocabulary of a student that starts from nothing: what it knows, how large it is, that it is always the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.toys import toy_questions, toy_rows, toy_tokenizer
from tinyllm.student.vocabulary import seed_pieces, train_tokenizer

TEXTS = [f"{row['input']}\n{row['targets']['answer']}" for row in toy_rows(toy_questions(40))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_vocabulary_depends_on_nothing_but_the_texts(tmp_path: Path) -> None:
    for name in "ab":
        train_tokenizer(TEXTS, 120, empty(tmp_path / name)).save_pretrained(tmp_path / name / "saved")
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name / "saved").iterdir()} for name in "ab")
    assert first == second and "tokenizer.json" in first


def test_frequent_words_are_single_pieces(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 120, tmp_path)
    assert tokenizer.tokenize("horse sits by the river") == ["▁horse", "▁sits", "▁by", "▁the", "▁river"]


def test_a_vocabulary_has_at_most_the_pieces_asked_for_and_t5s_special_ones(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 60, tmp_path)
    assert 50 < len(tokenizer) <= 60
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("red")["input_ids"][-1] == 1


def test_characters_the_texts_lack_become_the_unknown_piece(tokenizer: Any) -> None:
    ids = tokenizer("漢字 7{}\x00 red")["input_ids"]
    assert tokenizer.unk_token_id in ids
    assert tokenizer.decode(ids, skip_special_tokens=True).split()[-1] == "red"


def test_the_words_of_a_line_of_any_length_are_learnt(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([" ".join(["horse river zebra"] * 500), "a b"], 60, tmp_path)  # 9,000 characters
    assert tokenizer.tokenize("zebra river") == ["▁zebra", "▁river"]


def test_a_vocabulary_smaller_than_the_alphabet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^student\.scratch\.vocabulary: 10 does not fit the train texts: .*smaller"):
        train_tokenizer(TEXTS, 10, tmp_path)


def test_every_part_of_a_word_is_offered_with_its_count() -> None:
    offered = dict(line.split("\t") for line in seed_pieces(["ab ab", "b!"]).splitlines())
    assert offered == {
        **{"▁": "4", "▁a": "2", "▁ab": "2", "a": "2", "ab": "2", "b": "3"},
        **{"▁b": "1", "▁!": "1", "!": "1"},
    }
