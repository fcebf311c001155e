"""How much faster a local teacher answers 64 prompts in batches than one by one: at least 4 times is wanted.

    python -m benchmarks.generation [--release FOLDER] [--model FOLDER [--gguf FILE]] [--device cuda] [--threads N]

The prompts are questions of OBQA's train split, each after two others with their answers. FOLDER of --release is a copy of
the release; without it the questions come from where the pipeline takes them ($TINYLLM_MIRROR). Without --model a random
Llama is asked: 4 layers of width 256, 8 heads, feed-forward 1024, 4,000 byte-level tokens; it seldom ends before its 64
tokens. Both ways are measured three times, in turn, with the weights loaded, and give the same texts in float32. On one CPU
thread, unless --threads says more: on busy cores several threads wait for each other and tell nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tinyllm.datasets.release import load_questions
from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import LocalTeacher
from tinyllm.records.questions import Question, input_text
from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.protocol import Generation, Prompt

COUNT = 64
BATCH_TOKENS = 32768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--gguf")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.release:
        os.environ["TINYLLM_MIRROR"] = arguments.release.resolve().as_uri()
    questions = load_questions("obqa", "train")
    prompts = [write_prompt(questions[3 * i : 3 * i + 3]) for i in range(COUNT)]
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or random_llama(Path(folder), questions)
        batched = open_teacher(model, arguments.gguf, arguments.device, BATCH_TOKENS)
        single = open_teacher(model, arguments.gguf, arguments.device, 1)
        list(batched.generate(prompts[:1], lambda index: True))  # loads the weights
        single.model = batched.model
        seconds: dict[str, list[float]] = {"one by one": [], "batched": []}
        for _ in range(3):
            alone = measure(single, prompts, seconds["one by one"])
            together = measure(batched, prompts, seconds["batched"])
    for name, times in seconds.items():
        print(f"{name:<11} {sorted(times)[1]:7.2f} s, of {', '.join(f'{t:.2f}' for t in sorted(times))}")
    same = sum(alone[i] == together[i] for i in range(COUNT))
    tokens = sum(answer.completion_tokens for answer in together.values())
    ratio = sorted(seconds["one by one"])[1] / sorted(seconds["batched"])[1]  # of the medians
    print(f"{same} of {COUNT} answers alike; {tokens} tokens; {ratio:.1f} times as fast in batches")


def measure(teacher: Local, prompts: list[Prompt], seconds: list[float]) -> dict[int, Generation]:
    """Return the answers by prompt, and add to `seconds` what they took."""
    start = time.perf_counter()
    outcomes = dict(teacher.generate(prompts, lambda index: True))
    seconds.append(time.perf_counter() - start)
    return {index: outcome for index, outcome in outcomes.items() if isinstance(outcome, Generation)}


def write_prompt(questions: list[Question]) -> Prompt:
    *solved, asked = [f"Question: {input_text(q)}\nAnswer: {q.gold}\n" for q in questions]
    return Prompt("", "\n".join([*solved, f"{asked}Explanation:"]))


def open_teacher(model: Path, gguf: str | None, device: str, batch_tokens: int) -> Local:
    settings = {
        "backend": "local",
        "model": str(model),
        "gguf_file": gguf,
        "revision": None,
        "trust_remote_code": False,
        "chat": False,
        "max_new_tokens": 64,
        "temperature": 0.0,
        "samples": 1,
        "seed": 1,
        "parameters": None,
    }
    runtime = {
        "device": device,
        "precision": "fp32",
        "batch_tokens": batch_tokens,
        "concurrency": 1,
        "deadline": 1.0,
        "retries": 0,
        "max_cost": None,
    }
    return Local(LocalTeacher.model_validate(settings), Runtime.model_validate(runtime))


def random_llama(folder: Path, questions: list[Question]) -> Path:
    trained = ByteLevelBPETokenizer()
    texts = [input_text(question) for question in questions]
    trained.train_from_iterator(texts, vocab_size=4000, special_tokens=["</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="</s>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=8,
        initializer_range=0.1,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
