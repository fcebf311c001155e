"""Vocabulary, new students, checkpoints that load and those that are refused, and the folder a student is left in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import SIZES, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from transformers import GPT2Config, LlamaConfig

from tinyllm.settings import Scratch, Student
from tinyllm.students import (
    load_checkpoint,
    load_student,
    new_student,
    save_student,
    scratch_model,
    seed_pieces,
    train_tokenizer,
)

TEXTS = [f"{row['input']}\n{row['targets']['answer']}" for row in toy_rows(toy_questions(40))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def saved(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "student"
    save_student(toy_model(tokenizer), tokenizer, folder, max_new_tokens=7)
    return folder


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


# --- the vocabulary -------------------------------------------------------------------------------------------------


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


# --- new students ---------------------------------------------------------------------------------------------------


def test_a_new_model_has_the_sizes_asked_for() -> None:
    model = scratch_model(
        Scratch(vocabulary=100, width=12, layers=3, heads=2, feed_forward=20, embedding_scale=1.0), 77, 0.3
    )
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert shapes["shared.weight"] == (77, 12)
    assert shapes["encoder.block.0.layer.0.SelfAttention.q.weight"] == (12, 12)
    assert shapes["encoder.block.0.layer.1.DenseReluDense.wi.weight"] == (20, 12)
    assert (len(model.encoder.block), len(model.decoder.block)) == (3, 3)
    config = model.config
    assert (config.num_heads, config.d_kv, config.dropout_rate, config.decoder_start_token_id) == (2, 6, 0.3, 0)


def test_a_new_student_has_a_vocabulary_of_the_texts_and_a_model_of_its_size(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model, tokenizer = new_student(toy_params().student, 0.2, TEXTS, tmp_path)
    assert model.config.vocab_size == len(tokenizer) <= SIZES.vocabulary
    assert (model.config.d_model, model.config.dropout_rate) == (SIZES.width, 0.2)
    assert tokenizer.tokenize("horse by the river") == ["▁horse", "▁by", "▁the", "▁river"]


# --- checkpoints ----------------------------------------------------------------------------------------------------


def local(folder: Path) -> Student:
    return toy_params(student__origin="local", student__model=str(folder), student__scratch=None).student


def changed(saved: Path, folder: Path, *without: str) -> Path:
    shutil.copytree(saved, folder)
    for name in without:
        (folder / name).unlink()
    return folder


def test_a_checkpoint_in_a_folder_loads_with_its_weights_and_the_dropout_asked_for(saved: Path, tokenizer: Any) -> None:
    model, loaded = load_checkpoint(local(saved), dropout=0.25)
    expected = toy_model(tokenizer).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_a_folder_without_a_configuration_is_no_checkpoint(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(ValueError) as error:
            load_checkpoint(local(folder), 0.1)
        assert str(error.value) == f"student.model: {folder} is no checkpoint folder (it has no config.json)"


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("gpt2", GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1)),
        ("llama", LlamaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)),
    ],
)
def test_a_causal_model_is_refused(tmp_path: Path, kind: str, config: Any) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError) as error:
        load_checkpoint(local(tmp_path), 0.1)
    assert str(error.value) == (
        f"student.model: cannot load {tmp_path}: {kind} is no sequence-to-sequence model; use a T5, FLAN-T5 or BART"
    )


def test_a_tokenizer_without_its_vocabulary_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = changed(saved, tmp_path / "student", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(
        ValueError, match=r"^student\.model: the tokenizer of .* has 104 pieces; its vocabulary is missin"
    ):
        load_checkpoint(local(folder), 0.1)


def test_pickled_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = changed(saved, tmp_path / "student", "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"^student\.model: cannot load [^\n]*no file named model\.safetensors[^\n]*$"):
        load_checkpoint(local(folder), 0.1)


@pytest.mark.parametrize(
    ("name", "share", "reason"),
    [("model.safetensors", 0.5, "incomplete metadata"), ("config.json", 0.5, "not a valid JSON")],
)
def test_a_file_that_was_cut_off_is_refused_in_one_line(
    saved: Path, tmp_path: Path, name: str, share: float, reason: str
) -> None:
    folder = changed(saved, tmp_path / "student")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=rf"^student\.model: cannot load [^\n]*{reason}[^\n]*$"):
        load_checkpoint(local(folder), 0.1)


# --- the folder a student is left in --------------------------------------------------------------------------------


def test_a_saved_student_is_a_plain_folder_without_pickle(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    generation = json.loads((saved / "generation_config.json").read_text(encoding="utf-8"))
    generation.pop("transformers_version")
    assert generation == {
        "decoder_start_token_id": 0,
        "do_sample": False,
        "eos_token_id": 1,
        "max_new_tokens": 7,
        "pad_token_id": 0,
    }


def test_a_saved_student_loads_as_it_was(saved: Path, tokenizer: Any) -> None:
    model, loaded = load_student(saved)
    expected = toy_model(tokenizer).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())
    assert loaded.get_vocab() == tokenizer.get_vocab()


def test_a_folder_without_weights_holds_no_student(saved: Path, tmp_path: Path) -> None:
    folder = changed(saved, tmp_path / "1", "model.safetensors")
    with pytest.raises(
        ValueError, match=r"/1: holds no trained student \(no model\.safetensors\); run dvc repro train$"
    ):
        load_student(folder)


# transformers 5 has no pipeline for sequence-to-sequence models, so this is how its users run one.
ELSEWHERE = """
import sys
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForSeq2SeqLM, AutoTokenizer))
assert "tinyllm" not in sys.modules
print(model.generate(**tokenizer(sys.argv[2], return_tensors="pt"))[0].tolist())
"""


@pytest.mark.slow
def test_a_saved_student_answers_without_this_package(saved: Path, tokenizer: Any, tmp_path: Path) -> None:
    text = "predict: Which colour has the dog?"
    command = [sys.executable, "-I", "-c", ELSEWHERE, str(saved), text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    ids, model = [0], toy_model(tokenizer).eval()
    encoded = tokenizer(text, return_tensors="pt")
    while len(ids) < 8 and ids[-1] != 1:  # greedy, by hand; seven new tokens are the limit it was saved with
        ids.append(int(model(**encoded, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    assert json.loads(done.stdout) == ids
