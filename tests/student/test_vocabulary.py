"""The vocabulary of a student that starts from nothing: what it knows, how large it is, that it is always the same."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, LlamaConfig, T5Config

from tests.toys import toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.plain_text import PlainText
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


def test_a_vocabulary_has_at_most_the_pieces_asked_for_and_the_bytes(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 60, tmp_path)
    assert 50 < len(tokenizer) - 256 <= 60
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("red")["input_ids"][-1] == 1


@pytest.mark.parametrize(
    "text",
    [
        "Привет, мир! ёж Ё",
        "नमस्ते दुनिया क्‍ष",
        "مرحبا بالعالم ١٢٣ می‌خواهم",
        "漢字かな交じり文 한국어",
        "👩‍💻 ❤️ 🇩🇪 🏴󠁧󠁢󠁿",
        "x² ½ … ™ ① 10⁻³ ≤ ≥ ± § ﬁ Ａ",
        "{dog} [cat] <b>x</b> a<b \\n ~`^|",
        "<0x41> <0xFF> </s> <pad> <unk> < / >",
        "▅ \x01 \x7f ​",
    ],
)
@pytest.mark.parametrize("causal", [False, True])
def test_every_text_comes_back_though_its_characters_were_never_seen(
    tokenizer: Any, tmp_path: Path, text: str, causal: bool
) -> None:
    (LlamaConfig if causal else T5Config)().save_pretrained(
        tmp_path
    )  # the kind of model may choose the tokenizer's class
    tokenizer.save_pretrained(tmp_path)
    for either in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        (ids,) = PlainText(either).ids([text])
        assert either.unk_token_id not in ids and either.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("text", ["café", "Ångström ñandú", "한국어", "й ё"])
def test_letters_and_their_accents_have_the_same_ids_in_one_character_or_two(tmp_path: Path, text: str) -> None:
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    for number, learnt in enumerate(forms):
        tokenizer = train_tokenizer([*TEXTS, learnt], 150, empty(tmp_path / str(number)))
        one, other = tokenizer(forms)["input_ids"]
        assert one == other and tokenizer.decode(one, skip_special_tokens=True) == forms[0]
        assert max(one) < len(tokenizer) - 256  # none of it is spelt in bytes


@pytest.mark.parametrize(("one", "other"), [("x²", "x2"), ("½", "1⁄2"), ("①", "1"), ("Ａ", "A"), ("ﬁ", "fi")])
def test_signs_that_mean_something_else_have_other_ids(tokenizer: Any, one: str, other: str) -> None:
    assert tokenizer(one)["input_ids"] != tokenizer(other)["input_ids"]


def test_what_the_trainer_keeps_for_itself_loses_no_line(tmp_path: Path) -> None:
    """SentencePiece leaves out a whole line that holds one of its own signs."""
    tokenizer = train_tokenizer([*TEXTS, "zebra ▅ yak", "ibex \x00 okapi", "gnu \x01 ▁ kudu"], 200, tmp_path)
    for word in ("zebra", "yak", "ibex", "okapi", "gnu", "kudu"):
        assert max(tokenizer(word)["input_ids"]) < len(tokenizer) - 256


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
