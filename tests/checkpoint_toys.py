"""Toy checkpoints of random weights on disk, and the settings of a local teacher that is made of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from tests.toys import toy_questions
from tinyllm.params.load import load_params
from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import LocalTeacher
from tinyllm.records.questions import input_text

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


def settings(model: Path | str, **changes: Any) -> LocalTeacher:
    values: dict[str, Any] = {
        "backend": "local",
        "model": str(model),
        "gguf_file": None,
        "revision": None,
        "trust_remote_code": False,
        "chat": False,
        "max_new_tokens": 16,
        "temperature": 0.0,
        "samples": 1,
        "seed": 1,
        "parameters": None,
    }
    return LocalTeacher.model_validate(values | changes)


def runtime(**changes: Any) -> Runtime:
    values = load_params(PARAMS).runtime.model_dump()
    return Runtime.model_validate(values | {"device": "cpu", "precision": "fp32", "batch_tokens": 2000} | changes)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Tokens of bytes, `<s>` before every text."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator([input_text(question) for question in toy_questions(40)], trainer)
    trained.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>")


def save_llama(folder: Path, tokenizer: Any, width: int = 16, window: int = 512) -> LlamaForCausalLM:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=window,
        initializer_range=0.6,  # so large that what is said depends on what was asked
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 3  # some answers end by themselves
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def save_t5(folder: Path, tokenizer: Any) -> None:
    torch.manual_seed(1)
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    config.decoder_start_token_id = 0
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.7)
        model.shared.weight[1] *= 3  # some answers end by themselves
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
