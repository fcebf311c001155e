"""How fast the answer cache is: puts one by one, many gets, the list, export and import.

    python -m benchmarks.answers [FOLDER]    # where the cache is tried out; otherwise the folder for temporary files

Prompts are of 2,000 characters, answers of 500; every figure is the best of three.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tinyllm.teachers.cache.entry import answer_key
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.cache.transfer import export_answers, read_entries
from tinyllm.teachers.protocol import Generation, Prompt

COUNT = 10_000
IDENTITY = {
    "backend": "server",
    "url": "http://localhost:8000/v1",
    "model": "toy",
    "api": "chat",
    "temperature": 0.0,
    "max_new_tokens": 128,
    "seed": None,
    "stop": ["\nQuestion:"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    runs = []
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as folder:
        for number in range(3):
            runs.append(measure(Path(folder) / str(number)))
    for name in runs[0]:
        seconds = min(run[name] for run in runs)
        print(f"{name:<20} {COUNT:,} in {seconds:6.3f} s, {1e6 * seconds / COUNT:5.0f} microseconds each")


def measure(folder: Path) -> dict[str, float]:
    """Return the seconds that each part takes."""
    prompts = [Prompt("", f"Question {number}: {'x ' * 1000}") for number in range(COUNT)]
    answer = Generation("because " * 62, "stop", 500, 125)
    keys: list[str] = []
    seconds = {"keys": timed(lambda: keys.extend(answer_key(IDENTITY, prompt) for prompt in prompts))}
    with ResponseCache(folder / "a.sqlite") as cache:

        def put_all() -> None:
            for key, prompt in zip(keys, prompts, strict=True):
                cache.put(key, IDENTITY, prompt, answer)

        seconds["puts, one by one"] = timed(put_all)
        seconds["gets, all at once"] = timed(lambda: cache.get(keys))
        seconds["list"] = timed(cache.totals)
        seconds["export"] = timed(lambda: export_answers(cache, folder / "a.jsonl"))
    with ResponseCache(folder / "b.sqlite") as cache:
        seconds["import"] = timed(lambda: cache.merge(read_entries(folder / "a.jsonl")))
    return seconds


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
