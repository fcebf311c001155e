"""New students, and the folders that they are left in: a whole model, a merged one, an adapter alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.toys import SIZES, toy_causal, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import LoadedModel, embedded, loaded_model
from tinyllm.params.schema import Scratch, Student
from tinyllm.student.build import new_student, scratch_model
from tinyllm.student.folder import load_student, save_student

TEXTS = [f"{row['input']}\n{row['targets']['answer']}" for row in toy_rows(toy_questions(40))]
WHOLE = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
ALONE = ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"]
MODELS = {"t5": toy_model, "llama": toy_causal}
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def saved(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student of each kind as it is saved, and so a checkpoint to start another from."""
    root = tmp_path_factory.mktemp("saved")
    for name, model in MODELS.items():
        save_student(loaded_model(model(tokenizer), tokenizer), root / name, max_new_tokens=7)
    return {name: root / name for name in MODELS}


def starting(folder: Path, tuning: str = "full", alone: bool = False, **changes: Any) -> Student:
    """The params of a student that starts from a checkpoint."""
    where: dict[str, Any] = {"student__origin": "local", "student__model": str(folder), "student__scratch": None}
    student = toy_params(**where, student__tuning=tuning, **changes).student
    return student.model_copy(
        update={"lora": student.lora.model_copy(update={"saved": "adapter" if alone else "merged"})}
    )


def tuned(folder: Path, tuning: str, alone: bool = False) -> LoadedModel:
    """A student as if trained: what is tuned of it has moved."""
    torch.manual_seed(3)
    model = new_student(starting(folder, tuning, alone), 0.1, [], folder)
    with torch.no_grad():
        for weight in model.wrapped.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.1)
    model.wrapped.eval()
    return model


def logits(model: LoadedModel) -> torch.Tensor:
    """What a student makes of two inputs of different length."""
    ids = torch.arange(3, 15).view(2, 6)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    decoder = {"decoder_input_ids": torch.tensor([[0, 5, 6], [0, 7, 8]])} if not model.causal else {}
    with torch.no_grad():
        return model.plain(**embedded(model, ids, mask), **decoder).logits


def changed(saved: Path, folder: Path, *without: str) -> Path:
    shutil.copytree(saved, folder)
    for name in without:
        (folder / name).unlink()
    return folder


# --- new students ---------------------------------------------------------------------------------------------------


def test_a_new_model_has_the_sizes_asked_for() -> None:
    sizes = {"vocabulary": 100, "width": 12, "layers": 3, "heads": 2, "feed_forward": 20, "embedding_scale": 1.0}
    model = scratch_model(Scratch(architecture="seq2seq", **sizes), 77, 0.3)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert shapes["shared.weight"] == (77, 12)
    assert shapes["encoder.block.0.layer.0.SelfAttention.q.weight"] == (12, 12)
    assert shapes["encoder.block.0.layer.1.DenseReluDense.wi.weight"] == (20, 12)
    assert (len(model.encoder.block), len(model.decoder.block)) == (3, 3)
    config = model.config
    assert (config.num_heads, config.d_kv, config.dropout_rate, config.decoder_start_token_id) == (2, 6, 0.3, 0)


def test_a_new_causal_model_has_the_sizes_asked_for_and_no_output_layer_of_its_own() -> None:
    sizes = {"vocabulary": 100, "width": 12, "layers": 3, "heads": 2, "feed_forward": 20, "embedding_scale": 1.0}
    model = scratch_model(Scratch(architecture="causal", **sizes), 77, 0.3)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert shapes["model.embed_tokens.weight"] == (77, 12) and "lm_head.weight" not in shapes
    assert shapes["model.layers.2.self_attn.q_proj.weight"] == (12, 12)
    assert shapes["model.layers.2.mlp.up_proj.weight"] == (20, 12)
    config = model.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.attention_dropout) == (3, 2, 0.3)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, None, 1)


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_first_embeddings_spread_as_wide_as_asked_for(architecture: str, scale: float) -> None:
    torch.manual_seed(1)
    sizes = SIZES.model_copy(update={"architecture": architecture, "width": 64, "embedding_scale": scale})
    words = scratch_model(sizes, 1000, 0.0).get_input_embeddings().weight[3:]
    assert words.std().item() == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
def test_a_new_student_has_a_vocabulary_of_the_texts_and_a_model_of_its_size(tmp_path: Path, architecture: str) -> None:
    torch.manual_seed(5)
    sizes = SIZES.model_copy(update={"architecture": architecture}).model_dump()
    model = new_student(toy_params(student__scratch=sizes).student, 0.2, TEXTS, tmp_path)
    assert model.causal == (architecture == "causal")
    assert model.plain.config.vocab_size == len(model.tokenizer) <= SIZES.vocabulary + 256
    assert model.plain.config.hidden_size == SIZES.width
    assert model.tokenizer.tokenize("horse by the river") == ["▁horse", "▁by", "▁the", "▁river"]


def test_a_vocabulary_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "seeds.tsv").mkdir()
    with pytest.raises(ValueError, match=rf"^{tmp_path}: cannot be written \(.*\); free space and run again$"):
        new_student(toy_params().student, 0.0, TEXTS, tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("t5", {"student__chat": True}, "chat: true, but a t5 is no causal model"),
        ("llama", {"student__chat": True}, "chat: true, but the tokenizer of {model} has no chat template"),
    ],
)
def test_what_a_model_cannot_do_is_refused(
    saved: dict[str, Path], kind: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError) as error:
        new_student(starting(saved[kind], **changes), 0.0, [], saved[kind])
    assert str(error.value) == f"student.{told.replace('{model}', str(saved[kind]))}; set it to false"


def test_a_model_with_a_chat_template_may_chat(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(saved["llama"], tmp_path / "chatty")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    model = new_student(starting(folder, student__chat=True), 0.0, [], tmp_path)
    assert model.tokenizer.apply_chat_template([{"role": "user", "content": "Red?"}], tokenize=False) == "Red?"


# --- the folder a student is left in --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "start"), [("t5", {"decoder_start_token_id": 0}), ("llama", {})])
def test_a_saved_student_is_a_plain_folder_without_pickle(saved: dict[str, Path], kind: str, start: dict) -> None:
    assert sorted(path.name for path in saved[kind].iterdir()) == WHOLE
    generation = json.loads((saved[kind] / "generation_config.json").read_text(encoding="utf-8"))
    generation.pop("transformers_version")
    assert generation == {"do_sample": False, "eos_token_id": 1, "max_new_tokens": 7, "pad_token_id": 0, **start}


@pytest.mark.parametrize("kind", MODELS)
def test_a_saved_student_loads_as_it_was(saved: dict[str, Path], tokenizer: Any, kind: str) -> None:
    model = load_student(saved[kind])
    expected = MODELS[kind](tokenizer).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.plain.state_dict().items())
    assert model.tokenizer.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("kind", MODELS)
def test_merged_adapters_answer_as_they_did_beside_the_model(saved: dict[str, Path], tmp_path: Path, kind: str) -> None:
    model = tuned(saved[kind], "lora")
    expected = logits(model)
    save_student(model, tmp_path / "out", 7)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == WHOLE
    loaded = load_student(tmp_path / "out")
    assert torch.allclose(logits(loaded), expected, rtol=1e-5, atol=1e-5)
    assert torch.allclose(logits(model), expected, rtol=1e-5, atol=1e-5)  # the student itself goes on as it was
    untuned = load_student(saved[kind])
    assert not torch.allclose(logits(untuned), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("tuning", ["lora", "prompt"])
def test_an_adapter_saved_alone_answers_as_it_did_and_names_its_model(
    saved: dict[str, Path], tmp_path: Path, kind: str, tuning: str
) -> None:
    model = tuned(saved[kind], tuning, alone=True)
    save_student(model, tmp_path / "out", 7)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ALONE
    named = json.loads((tmp_path / "out/adapter_config.json").read_text(encoding="utf-8"))
    assert named["base_model_name_or_path"] == str(saved[kind])
    loaded = load_student(tmp_path / "out")
    assert torch.equal(logits(loaded), logits(model)) and not loaded.wrapped.training and not loaded.plain.training
    assert loaded.tokenizer.get_vocab() == model.tokenizer.get_vocab()


def test_a_model_is_named_as_the_params_name_it(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved["t5"].parent)
    model = tuned(Path("t5"), "lora", alone=True)
    save_student(model, tmp_path / "out", 7)
    assert str(saved["t5"].parent) not in (tmp_path / "out/adapter_config.json").read_text(encoding="utf-8")
    assert torch.equal(logits(load_student(tmp_path / "out")), logits(model))


@pytest.mark.parametrize("alone", [False, True])
def test_two_saves_are_equal(saved: dict[str, Path], tmp_path: Path, alone: bool) -> None:
    for name in "ab":
        save_student(tuned(saved["llama"], "lora", alone), tmp_path / name, 7)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "ab")
    assert first == second


@pytest.mark.parametrize(("kind", "library"), [("t5", AutoModelForSeq2SeqLM), ("llama", AutoModelForCausalLM)])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_transformers_loads_adapters_alone(saved: dict[str, Path], tmp_path: Path, kind: str, library: Any) -> None:
    model = tuned(saved[kind], "lora", alone=True)
    save_student(model, tmp_path / "out", 7)
    assert torch.equal(logits(loaded_model(library.from_pretrained(tmp_path / "out"), model.tokenizer)), logits(model))


# --- folders that are refused ---------------------------------------------------------------------------------------


def test_a_folder_without_weights_holds_no_student(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(saved["t5"], tmp_path / "1", "model.safetensors")
    with pytest.raises(
        ValueError, match=r"/1: holds no trained student \(no model\.safetensors\); run dvc repro train$"
    ):
        load_student(folder)


def test_an_adapter_without_its_weights_is_no_student(saved: dict[str, Path], tmp_path: Path) -> None:
    save_student(tuned(saved["t5"], "prompt"), tmp_path / "1", 7)
    (tmp_path / "1/adapter_model.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"/1: holds no trained student \(no adapter_model\.safetensors\); run dvc repro train$"
    ):
        load_student(tmp_path / "1")


@pytest.mark.parametrize("tuning", ["lora", "prompt"])
def test_an_adapter_that_lacks_a_part_is_damaged(saved: dict[str, Path], tmp_path: Path, tuning: str) -> None:
    save_student(tuned(saved["llama"], tuning, alone=True), tmp_path / "1", 7)
    weights = load_file(tmp_path / "1/adapter_model.safetensors")
    lost = sorted(weights)[0]
    save_file(
        {name: value for name, value in weights.items() if name != lost}, tmp_path / "1/adapter_model.safetensors"
    )
    with pytest.raises(ValueError, match=r"/1: damaged \([^\n]+\); delete it and run dvc repro train$"):
        load_student(tmp_path / "1")


def test_an_adapter_whose_model_is_gone_says_which(saved: dict[str, Path], tmp_path: Path) -> None:
    base = changed(saved["t5"], tmp_path / "base")
    save_student(tuned(base, "lora", alone=True), tmp_path / "1", 7)
    shutil.rmtree(base)
    with pytest.raises(ValueError) as error:
        load_student(tmp_path / "1")
    told = f"{tmp_path}/1: its adapter belongs to {base}, which cannot be loaded ("
    assert str(error.value).startswith(told) and str(error.value).endswith("; put it there")
    assert "\n" not in str(error.value)


# transformers 5 has no pipeline for sequence-to-sequence models, so this is how its users run one.
ELSEWHERE = """
import sys
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForSeq2SeqLM, AutoTokenizer))
assert "tinyllm" not in sys.modules
print(model.generate(**tokenizer(sys.argv[2], return_tensors="pt"))[0].tolist())
"""


@pytest.mark.nightly
def test_a_saved_student_answers_without_this_package(saved: dict[str, Path], tokenizer: Any, tmp_path: Path) -> None:
    text = "predict: Which colour has the dog?"
    command = [sys.executable, "-I", "-c", ELSEWHERE, str(saved["t5"]), text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    ids, model = [0], toy_model(tokenizer).eval()
    encoded = tokenizer(text, return_tensors="pt")
    while len(ids) < 8 and ids[-1] != 1:  # greedy, by hand; seven new tokens are the limit it was saved with
        ids.append(int(model(**encoded, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    assert json.loads(done.stdout) == ids
