"""How much faster likelihoods and texts of OBQA's test questions are had than by one full forward pass for every option.

    python -m benchmarks.scoring --release FOLDER --tokenizer spiece.model [--model FOLDER] [--questions N] [--threads N]

At least 2.5 times is wanted. The students are T5-small's shape from a random start with the given tokenizer, and a causal one:
the checkpoint in --model or, without it, a random Llama of width 512 with 8 layers.

    plain       questions in order, the options of 8 in one pass, each with its whole question, padded to the longest
    one by one  a pass an option, without padding
    ours        the score stage's (tinyllm/student/predict.py)

All take turns, and the median of --repeats counts. Texts are generated in batches, as the score stage does, and one by one.
"""

from __future__ import annotations

import argparse
import operator
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from tinyllm.datasets.release import load_questions
from tinyllm.models.device import prepare_torch
from tinyllm.models.likelihood import EncodedInput
from tinyllm.models.loaded import IGNORED, LoadedModel, filled, loaded_model, pad
from tinyllm.params.load import load_params
from tinyllm.records.questions import Question
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.folder import load_student
from tinyllm.student.generate import generate_texts
from tinyllm.student.predict import choose, encode_questions, option_scores

BATCH = 8  # questions in one of the plain loop's passes
BATCH_TOKENS = 16384  # of ours
NEW_TOKENS = 16
Scores = list[list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--students", nargs="+", choices=("seq2seq", "causal"), default=["seq2seq", "causal"])
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ["TINYLLM_MIRROR"] = given.release.resolve().as_uri()
    prepare_torch(given.threads)
    questions = load_questions("obqa", "test")[: given.questions]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(given.tokenizer, Path(folder) / "spiece.model")
        tokenizer = T5Tokenizer.from_pretrained(folder)
    if "seq2seq" in given.students:
        compare("T5-small's shape", small_t5(tokenizer), questions, given.repeats)
    if "causal" in given.students and given.model:
        compare(str(given.model), load_student(given.model), questions, given.repeats)
    elif "causal" in given.students:
        compare("a random Llama", small_llama(tokenizer), questions, given.repeats)


def small_t5(tokenizer: PreTrainedTokenizerBase) -> LoadedModel:
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(T5Config(vocab_size=32128, decoder_start_token_id=0))
    return loaded_model(model, tokenizer)


def small_llama(tokenizer: PreTrainedTokenizerBase) -> LoadedModel:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=32128,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
    )
    return loaded_model(LlamaForCausalLM(config), tokenizer)


def compare(name: str, model: LoadedModel, questions: Sequence[Question], repeats: int) -> None:
    """Time every way on the same questions and print the tables."""
    model.wrapped.eval()
    student = load_params().student
    readings, options, _ = encode_questions(questions, InputEncoder(student, model), student.answer_prefix)
    weights = sum(weight.numel() for weight in model.wrapped.parameters())
    length = statistics.mean(len(reading.source) + len(reading.prompt) for reading in readings)
    print(f"\n{name}: {weights / 1e6:.1f} million weights; {len(questions)} questions of {length:.0f} tokens")
    likelihood: dict[str, Callable[[], Scores]] = {
        "plain": lambda: full_passes(model.plain, readings, options, BATCH),
        "one by one": lambda: full_passes(model.plain, readings, options, None),
        "ours": lambda: option_scores(model, readings, options, BATCH_TOKENS),
    }
    scores, seconds = take_turns(likelihood, repeats)
    show("likelihood", seconds, len(questions))
    for way, rows in scores.items():
        alike = sum(choose(a) == choose(b) for a, b in zip(rows, scores["plain"], strict=True))
        furthest = max(
            abs(a - b) for x, y in zip(rows, scores["plain"], strict=True) for a, b in zip(x, y, strict=True)
        )
        print(f"{way}: {alike} of {len(questions)} choices as plain's, scores up to {furthest:.1e} apart")
    text: dict[str, Callable[[], list[str]]] = {
        "one by one": lambda: generate_texts(model, readings, NEW_TOKENS, 1),
        "ours": lambda: generate_texts(model, readings, NEW_TOKENS, BATCH_TOKENS),
    }
    texts, seconds = take_turns(text, repeats)
    show(f"{NEW_TOKENS} tokens of text", seconds, len(questions))
    print(f"{sum(map(operator.eq, *texts.values()))} of {len(questions)} texts alike", flush=True)


def show(what: str, seconds: dict[str, list[float]], count: int) -> None:
    """Print a table of the medians and how many times as fast they are as each baseline's."""
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    baselines = [way for way in medians if way != "ours"]
    print(f"\n| {what} | seconds (least to most) | questions/s | {' | '.join(f'x {base}' for base in baselines)} |")
    print("|---|---|---|" + "---|" * len(baselines))
    for way, median in medians.items():
        spread = f"{min(seconds[way]):.2f} to {max(seconds[way]):.2f}"
        faster = " | ".join(f"{medians[base] / median:.2f}" for base in baselines)
        print(f"| {way} | {median:.2f} ({spread}) | {count / median:.1f} | {faster} |", flush=True)


def take_turns(ways: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return what each way found, and its seconds."""
    found: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            start = time.perf_counter()
            found[way] = run()
            seconds[way].append(time.perf_counter() - start)
    return found, seconds


@torch.no_grad()
def full_passes(
    model: Any, readings: Sequence[EncodedInput], options: Sequence[Sequence[np.ndarray]], batch: int | None
) -> Scores:
    """Return every option's log-likelihood by a pass over its whole question and itself.

    Args:
        batch: questions whose options share a pass; None gives each option one of its own
    """
    pairs = [(reading, option) for reading, row in zip(readings, options, strict=True) for option in row]
    ends = list(np.cumsum([len(row) for row in options]))
    cuts = list(range(len(pairs) + 1)) if batch is None else [0, *ends[batch - 1 :: batch]]
    if cuts[-1] < len(pairs):
        cuts.append(len(pairs))
    values = [
        value for first, last in zip(cuts, cuts[1:], strict=False) for value in one_pass(model, pairs[first:last])
    ]
    return [values[end - len(row) : end] for end, row in zip(ends, options, strict=True)]


def one_pass(model: Any, pairs: Sequence[tuple[EncodedInput, np.ndarray]]) -> list[float]:
    decoded = [np.concatenate([reading.prompt, option[:-1]]) for reading, option in pairs]
    labels = pad(
        [np.concatenate([np.full(len(reading.prompt) - 1, IGNORED), option]) for reading, option in pairs], IGNORED
    )
    sources = [reading.source for reading, _ in pairs]
    if len(sources[0]):
        logits = model(
            input_ids=pad(sources, 0),
            attention_mask=filled(sources),
            decoder_input_ids=pad(decoded, 0),
            use_cache=False,
        ).logits
    else:
        logits = model(input_ids=pad(decoded, 0), attention_mask=filled(decoded), use_cache=False).logits
    labelled = labels != IGNORED  # (B, T)
    losses = torch.zeros(labels.shape)
    losses[labelled] = cross_entropy(logits[labelled].float(), labels[labelled], reduction="none")
    return (-losses.sum(dim=1)).tolist()


if __name__ == "__main__":
    main()
