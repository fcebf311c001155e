"""What of a student is trained: which weights move, which stay, and what a soft prompt does to its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    T5ForConditionalGeneration,
)

from tests.toys import toy_causal, toy_model, toy_params, toy_tokenizer
from tinyllm.models.loaded import LoadedModel, embedded, loaded_model
from tinyllm.params.schema import Student
from tinyllm.student.tuning import learning_rate, tune

IDS = torch.arange(3, 15).view(2, 6)
MASK = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])  # the second row is padded at the right
MODELS = {
    "t5": T5ForConditionalGeneration,
    "llama": LlamaForCausalLM,
    "gpt2": GPT2LMHeadModel,
    "bart": BartForConditionalGeneration,
}
LORA = {"learning_rate": 0.001, "rank": 2, "alpha": 8.0, "dropout": 0.0, "saved": "merged"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def model_of(kind: str, tokenizer: Any) -> Any:
    torch.manual_seed(1)
    words = len(tokenizer)
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=words, n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=1)
        )
    if kind == "bart":
        sizes = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_layers": 1, "decoder_layers": 1}
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        return BartForConditionalGeneration(BartConfig(vocab_size=words, d_model=16, **sizes, **heads))
    return {"t5": toy_model, "llama": toy_causal}[kind](tokenizer)


def student(tuning: str, **changes: Any) -> Student:
    vectors = {"learning_rate": 0.03, "tokens": 3}
    return toy_params(student__tuning=tuning, student__lora=LORA, student__soft_prompt=vectors, **changes).student


def untuned(kind: str, tokenizer: Any) -> LoadedModel:
    return loaded_model(model_of(kind, tokenizer).eval(), tokenizer)


def tuned(kind: str, tokenizer: Any, tuning: str) -> LoadedModel:
    return loaded_model(tune(model_of(kind, tokenizer), student(tuning)).eval(), tokenizer)


def call(model: LoadedModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The logits of a student, by way of its plain model."""
    decoder = {"decoder_input_ids": torch.tensor([[0, 5, 6], [0, 7, 8]])} if not model.causal else {}
    return model.plain(**embedded(model, ids, mask), **decoder).logits


def after_one_step(model: LoadedModel) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Train a step on any loss; return all weights before and after."""
    before = {name: weight.detach().clone() for name, weight in model.wrapped.named_parameters()}
    optimizer = torch.optim.AdamW(
        [weight for weight in model.wrapped.parameters() if weight.requires_grad], lr=0.1, weight_decay=0.0
    )
    call(model, IDS, MASK).logsumexp(dim=-1).sum().backward()
    optimizer.step()
    return before, dict(model.wrapped.named_parameters())


# --- which weights move ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_full_tuning_is_the_model_itself_and_moves_every_weight(tokenizer: Any, kind: str) -> None:
    model = model_of(kind, tokenizer)
    loaded = loaded_model(tune(model, student("full")), tokenizer)
    assert loaded.wrapped is model and loaded.plain is model and loaded.soft_tokens == 0
    before, after = after_one_step(loaded)
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2", "bart"])
@pytest.mark.parametrize(("tuning", "own"), [("lora", "lora_B"), ("prompt", "prompt_encoder")])
def test_one_step_moves_what_is_tuned_and_nothing_else(tokenizer: Any, kind: str, tuning: str, own: str) -> None:
    before, after = after_one_step(tuned(kind, tokenizer, tuning))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if own in name}  # of LoRA the other half moves once B is not zero
    assert {name for name, weight in after.items() if weight.requires_grad} == {
        name for name in before if "lora" in name or own in name
    }


ATTENTION = [f"{stack}.{layer}" for stack in ("decoder", "encoder") for layer in "koqv"]


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("t5", ATTENTION + [f"{stack}.{layer}" for stack in ("decoder", "encoder") for layer in ("wi", "wo")]),
        ("llama", [f"model.{layer}_proj" for layer in ("q", "k", "v", "o", "gate", "up", "down")]),
        ("gpt2", ["transformer.c_attn", "transformer.c_fc", "transformer.c_proj"]),
    ],
)
def test_adapters_lie_in_attention_and_feed_forward_and_not_in_embeddings(
    tokenizer: Any, kind: str, layers: list[str]
) -> None:
    model = tuned(kind, tokenizer, "lora").plain
    adapted = [name.split(".lora_A.")[0].split(".") for name, _ in model.named_parameters() if ".lora_A." in name]
    assert {f"{name[0]}.{name[-1]}" for name in adapted} == set(layers)


LAST = {  # of two layers a stack
    "t5": ("encoder.block.1.", "decoder.block.1."),
    "llama": ("model.layers.1.",),
    "gpt2": ("transformer.h.1.",),
    "bart": ("model.encoder.layers.1.", "model.decoder.layers.1."),
}


def two_layers(kind: str, tokenizer: Any) -> Any:
    """A model of two layers a stack, so that an upper and a lower one can be told apart."""
    torch.manual_seed(1)
    config = model_of(kind, tokenizer).config
    for name in ("num_hidden_layers", "num_decoder_layers", "decoder_layers"):
        if hasattr(config, name):
            setattr(config, name, 2)
    return MODELS[kind](config)


@pytest.mark.parametrize("kind", LAST)
def test_of_the_upper_layers_tuned_each_weight_moves_and_no_other(tokenizer: Any, kind: str) -> None:
    upper = {"learning_rate": 0.002, "layers": 1}
    model = tune(two_layers(kind, tokenizer), student("upper", student__upper=upper)).eval()
    before, after = after_one_step(loaded_model(model, tokenizer))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and moved == {name for name in before if name.startswith(LAST[kind])}


def test_more_upper_layers_than_there_are_are_refused(tokenizer: Any) -> None:
    for kind, named in (("llama", "llama"), ("t5", "t5")):
        with pytest.raises(ValueError, match=f"student.upper.layers: 3, but a stack of this {named} has 2; lower it"):
            tune(two_layers(kind, tokenizer), student("upper", student__upper={"learning_rate": 0.1, "layers": 3}))


def test_an_adapter_has_the_rank_and_weight_asked_for(tokenizer: Any) -> None:
    model = tuned("llama", tokenizer, "lora")
    layer = model.plain.model.layers[0].self_attn.q_proj
    assert layer.lora_A["default"].weight.shape == (2, 16) and layer.lora_B["default"].weight.shape == (16, 2)
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    x = torch.randn(5, 16)
    added = x @ layer.lora_A["default"].weight.T @ layer.lora_B["default"].weight.T * (8.0 / 2)
    assert torch.allclose(layer(x), layer.base_layer(x) + added, atol=1e-5)


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2", "bart"])
def test_an_untrained_adapter_changes_nothing(tokenizer: Any, kind: str) -> None:
    expected = call(untuned(kind, tokenizer), IDS, MASK)
    assert torch.allclose(call(tuned(kind, tokenizer, "lora"), IDS, MASK), expected, rtol=0, atol=1e-5)


# --- the soft prompt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2", "bart"])
def test_a_soft_prompt_changes_the_answer_and_learns(tokenizer: Any, kind: str) -> None:
    model = tuned(kind, tokenizer, "prompt")
    assert model.soft_tokens == 3
    logits = call(model, IDS, MASK)
    without = call(untuned(kind, tokenizer), IDS, MASK)
    assert not torch.allclose(logits[:, -without.shape[1] :], without, rtol=0, atol=1e-4)
    logits.logsumexp(dim=-1).sum().backward()
    gradient = model.wrapped.get_parameter("prompt_encoder.default.embedding.weight").grad
    assert gradient.shape == (3, 16) and (gradient.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_a_soft_prompt_of_a_words_vectors_reads_as_those_words(tokenizer: Any, kind: str) -> None:
    """What stands before the input are vectors like any word's, at the same places and under the same mask."""
    model, words = tuned(kind, tokenizer, "prompt"), torch.tensor([20, 30, 40])
    with torch.no_grad():
        vectors = model.plain.get_input_embeddings()(words)
        model.wrapped.get_parameter("prompt_encoder.default.embedding.weight").copy_(vectors)
    ids = torch.cat([words.expand(2, 3), IDS], dim=1)
    mask = torch.cat([torch.ones(2, 3, dtype=torch.long), MASK], dim=1)
    expected = call(untuned(kind, tokenizer), ids, mask)
    assert torch.allclose(call(model, IDS, MASK), expected, atol=1e-5)
    given = embedded(model, IDS, MASK)
    assert given["inputs_embeds"].shape == (2, 9, 16) and torch.equal(given["attention_mask"], mask)


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_padding_behind_a_prompted_input_changes_nothing(tokenizer: Any, kind: str) -> None:
    model = tuned(kind, tokenizer, "prompt")
    padded = call(model, IDS, MASK)[1]
    if kind == "t5":
        alone = model.plain(
            **embedded(model, IDS[1:, :4], MASK[1:, :4]), decoder_input_ids=torch.tensor([[0, 7, 8]])
        ).logits[0]
    else:
        alone = call(model, IDS[1:, :4], MASK[1:, :4])[0]
    assert torch.allclose(padded[: len(alone)], alone, atol=1e-5)


def test_the_first_vectors_are_those_of_words(tokenizer: Any) -> None:
    model = tuned("llama", tokenizer, "prompt")
    words = model.plain.get_input_embeddings().weight
    for vector in model.wrapped.get_parameter("prompt_encoder.default.embedding.weight"):
        assert (words == vector).all(dim=1).any()


@pytest.mark.parametrize("tuning", ["lora", "prompt"])
def test_the_same_seed_starts_the_same_way(tokenizer: Any, tuning: str) -> None:
    first, second = (dict(tuned("t5", tokenizer, tuning).wrapped.named_parameters()) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


# --- the learning rate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tuning", "expected"), [("full", 0.01), ("lora", 0.001), ("prompt", 0.03), ("upper", 0.002)])
def test_each_tuning_has_a_learning_rate_of_its_own(tuning: str, expected: float) -> None:
    own = {"soft_prompt": {"learning_rate": 0.03, "tokens": 3}, "upper": {"learning_rate": 0.002, "layers": 1}}
    sections = {f"student__{name}": value for name, value in {"lora": LORA, **own}.items()}
    params = toy_params(train__learning_rate=0.01, student__tuning=tuning, **sections)
    assert learning_rate(params) == expected


def test_an_adapter_is_told_its_model_only_where_it_is_saved_alone(tokenizer: Any, tmp_path: Path) -> None:
    alone = {**LORA, "saved": "adapter"}
    for tuning, lora, expected in (("lora", LORA, None), ("lora", alone, "some/model"), ("prompt", LORA, "some/model")):
        settings = toy_params(
            student__tuning=tuning, student__lora=lora, student__model="some/model", student__revision="abc"
        ).student
        config = tune(model_of("t5", tokenizer), settings).active_peft_config
        assert (config.base_model_name_or_path, config.revision) == (expected, expected and "abc")
