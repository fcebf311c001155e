"""What taking ended rows out of a batch is worth: seconds of a batch of texts of unequal length, with it and without.

    python -m benchmarks.decoding [--model FOLDER] [--rows N] [--median N] [--tokens N] [--bf16] [--threads N] [--processor]

Texts end after a number of tokens that is drawn from a log-normal distribution around --median, at most --tokens. So do
rationales: some are three times as long as most. Without --model it is a Llama of random weights, of width 576 with 8 layers.

    taken out   a row that has ended is taken out of the batch (tinyllm/models/decoding.py)
    library     all rows go on until the last has ended, as `generate` does it

Both take turns, and the median of --repeats counts. That both write the same is checked.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tinyllm.models import decoding
from tinyllm.models.decoding import Decoded, decode
from tinyllm.models.device import prepare_torch
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.student.folder import load_student
from tinyllm.student.vocabulary import train_tokenizer

PROMPT = 60  # tokens


class EndsAt:
    """Ends each row after a given number of tokens."""

    ends: Sequence[int] = (-1,)  # no token

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        done = input_ids.shape[1] - PROMPT
        return torch.tensor([done >= length for length in self.lengths])

    def keep(self, rows: Sequence[int]) -> None:
        self.lengths = [self.lengths[row] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--median", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    prepare_torch(given.threads)
    model = load_student(given.model) if given.model else random_model()
    if given.bf16:
        model.plain.to(torch.bfloat16)
    rng = np.random.default_rng(1)
    lengths = np.clip(rng.lognormal(np.log(given.median), 0.5, given.rows), 1, given.tokens).astype(int).tolist()
    ids = torch.from_numpy(rng.integers(3, model.plain.config.vocab_size, (given.rows, PROMPT)))
    print(f"{given.rows} texts of {min(lengths)} to {max(lengths)} tokens, mean {np.mean(lengths):.0f}")
    seconds: dict[str, list[float]] = {"taken out": [], "library": []}
    written: dict[str, list[Decoded]] = {}
    usual = decoding.FEWEST
    clock = time.process_time if given.processor else time.perf_counter
    for _ in range(given.repeats):
        for way, fewest in (("taken out", usual), ("library", 10**9)):
            decoding.FEWEST = fewest
            start = clock()
            arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            written[way] = decode(model, arguments, given.tokens, EndsAt(lengths), [])
            seconds[way].append(clock() - start)
    pairs = zip(*written.values(), strict=True)
    print(f"{sum(one == other for one, other in pairs)} of {given.rows} texts are the same")
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    for way, median in medians.items():
        print(f"{way:10} {median:7.2f} s")
    print(f"library / taken out: {medians['library'] / medians['taken out']:.2f}")


def random_model() -> LoadedModel:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer([f"{n} and {n + 1}" for n in range(200)], 300, Path(folder))
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=9,
        num_key_value_heads=3,
    )
    return loaded_model(LlamaForCausalLM(config).eval(), tokenizer)


if __name__ == "__main__":
    main()
