"""How much faster a local teacher answers 64 prompts in batches than one by one, and in processes than in one.

    python -m benchmarks.generation [--release FOLDER] [--model FOLDER [--gguf FILE]] [--device cuda] [--threads N]
                                    [--processes N]

The prompts are questions of OBQA's train split, each after two others with their answers. FOLDER of --release is a copy of
the release; without it the questions come from where the pipeline takes them ($TINYLLM_MIRROR). Without --model a random
Llama is asked: 4 layers of width 256, 8 heads, feed-forward 1024, 4,000 byte-level tokens; it seldom ends before its 64
tokens. All ways are measured three times, in turn, with the weights loaded, and give the same texts in float32. On one CPU
thread, unless --threads says more: on busy cores several threads wait for each other and tell nothing. Of several processes
each has its share of the machine's cores.
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
from tinyllm.params.load import load_params
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
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.release:
        os.environ["TINYLLM_MIRROR"] = arguments.release.resolve().as_uri()
    questions = load_questions("obqa", "train")
    prompts = [write_prompt(questions[3 * i : 3 * i + 3]) for i in range(COUNT)]
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or random_llama(Path(folder), questions)
        ways = {
            "one by one": open_teacher(model, arguments.gguf, arguments.device, 1),
            "batched": open_teacher(model, arguments.gguf, arguments.device, BATCH_TOKENS),
        }
        if arguments.processes > 1:
            name = f"batched, {arguments.processes} processes"
            ways[name] = open_teacher(model, arguments.gguf, arguments.device, BATCH_TOKENS, arguments.processes)
        for teacher in ways.values():  # loads the weights
            list(teacher.generate(prompts[: 16 * arguments.processes], lambda index: True))
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        answers: dict[str, dict[int, Generation]] = {}
        for _ in range(3):
            for name, teacher in ways.items():
                answers[name] = measure(teacher, prompts, seconds[name])
    slowest = sorted(seconds["one by one"])[1]
    for name, times in seconds.items():
        median = sorted(times)[1]
        same = sum(answers[name][i] == answers["one by one"][i] for i in range(COUNT))
        spread = f"of {', '.join(f'{t:.2f}' for t in sorted(times))}"
        print(f"{name:<22} {median:7.2f} s, {spread}; {slowest / median:.1f} times; {same} of {COUNT} answers alike")


def measure(teacher: Local, prompts: list[Prompt], seconds: list[float]) -> dict[int, Generation]:
    """Return the answers by prompt, and add to `seconds` what they took."""
    start = time.perf_counter()
    outcomes = dict(teacher.generate(prompts, lambda index: True))
    seconds.append(time.perf_counter() - start)
    return {index: outcome for index, outcome in outcomes.items() if isinstance(outcome, Generation)}


def write_prompt(questions: list[Question]) -> Prompt:
    *solved, asked = [f"Question: {input_text(q)}\nAnswer: {q.gold}\n" for q in questions]
    return Prompt("", "\n".join([*solved, f"{asked}Explanation:"]))


def open_teacher(model: Path, gguf: str | None, device: str, batch_tokens: int, processes: int = 1) -> Local:
    params = load_params()
    settings = params.teachers["smollm2"].model_copy(
        update={"model": str(model), "gguf_file": gguf, "chat": False, "max_new_tokens": 64}
    )
    runtime = params.runtime.model_copy(
        update={"device": device, "precision": "fp32", "batch_tokens": batch_tokens, "processes": processes}
    )
    assert isinstance(settings, LocalTeacher)
    return Local(settings, runtime)


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
