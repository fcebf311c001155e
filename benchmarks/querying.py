"""How near the server backend comes to what an endpoint allows: one with room for 64 at once, one with 20 requests a second.

    python -m benchmarks.querying [--seconds 40]    # for so long the second is asked
    python -m benchmarks.querying --speed           # only prompts a second of a server that answers at once

The endpoints are local processes (tests/endpoint.py): the first answers after 50 ms and turns a 65th away with 503; the
second answers 429 beyond its rate, of which it saves one second's worth, once without Retry-After and once with
`Retry-After: 1`. Ideal is the time that the latency alone takes, and all of the rate. On two cores it needs both. Last, 10,000
answers are asked for once and then replayed from the cache: prompts, keys and look-up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.endpoint import running
from tinyllm.params.load import load_params
from tinyllm.params.schema import Prompting
from tinyllm.params.teacher_entries import Price, ServerTeacher
from tinyllm.records.questions import Question
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.protocol import Generation, Prompt
from tinyllm.teachers.server.client import Server

LATENCY, ROOM, PROMPTS = 0.05, 64, 2000
REPLAYED = 10_000
WIDTHS = (1, 2, 16, 64)  # requests at once
RATE, SETTLED = 20, 5.0  # requests a second; seconds in which the rate may still be unknown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--prompts", type=int, default=PROMPTS, help="of each round of --speed")
    asked = parser.parse_args()
    seconds = asked.seconds
    if asked.speed:
        print_speed(asked.prompts)
        return
    with running("--latency", str(LATENCY), "--limit", str(ROOM)) as endpoint:
        ideal = PROMPTS / ROOM * LATENCY
        for _ in range(3):
            taken = timed(endpoint.url, PROMPTS)
            away = sum(status != 200 for _, status, _ in endpoint.get("log"))
            print(
                f"room for {ROOM}: {PROMPTS} prompts in {taken:.2f} s, {taken / ideal:.2f} times the ideal {ideal:.2f} s; "
                f"{away} turned away"
            )
    for extra in ([], ["--retry-after", "1"]):
        with running("--latency", str(LATENCY), "--rate", str(RATE), *extra) as endpoint:
            timed(endpoint.url, seconds * RATE)
            pushed_back, share = settled(endpoint.get("log"))
        header = "Retry-After: 1" if extra else "no Retry-After"
        print(
            f"{RATE} a second, {header}: {pushed_back:.2%} answered 429 after {SETTLED:g} s, "
            f"at {share:.1%} of the allowed rate"
        )
    with running() as endpoint, tempfile.TemporaryDirectory() as folder:
        asked, cached = replayed(endpoint.url, Path(folder))
    print(f"{REPLAYED} answers: asked in {asked:.2f} s, from the cache in {cached:.2f} s")


def print_speed(count: int) -> None:
    """The median prompts a second of three rounds, at several limits of requests at once."""
    with running() as endpoint:
        rounds = [[count / timed(endpoint.url, count, width) for width in WIDTHS] for _ in range(3)]
    for width, speeds in zip(WIDTHS, zip(*rounds, strict=True), strict=True):
        print(f"{width} at once: {median(speeds):.0f} prompts a second")


def timed(url: str, count: int, width: int = ROOM) -> float:
    """The seconds that so many prompts take, at most `width` at once."""
    prompts = [Prompt("", f"Which cause has case {number}?") for number in range(count)]
    server = open_server(url, width)
    start = time.perf_counter()
    outcomes = [outcome for _, outcome in server.generate(prompts, lambda index: True)]
    seconds = time.perf_counter() - start
    assert len(outcomes) == count and all(isinstance(outcome, Generation) for outcome in outcomes)
    return seconds


def replayed(url: str, folder: Path) -> tuple[float, float]:
    """The seconds that so many questions with two examples each take, asked and from the cache."""
    questions = [
        Question(f"q{n}", f"Which cause has case {n} of {n % 97}?", ("mould", "frost"), n % 2) for n in range(REPLAYED)
    ]
    prompting = Prompting(
        instruction="", examples=2, selection="random", example_rationales="none", teacher_forcing=True, seed=1
    )
    times = []
    for _ in range(2):
        live = CachedTeacher("toy", open_server(url), folder / "answers.sqlite", prompting, questions, None, None)
        start = time.perf_counter()
        assert all(done.status == "ok" for done in live.complete(questions))
        times.append(time.perf_counter() - start)
    assert (live.counts.cached, live.counts.answered) == (REPLAYED, 0)
    return times[0], times[1]


def open_server(url: str, width: int = ROOM) -> Server:
    settings = ServerTeacher(
        backend="server",
        url=url,
        model="toy",
        api="chat",
        key_variable=None,
        context_tokens=None,
        max_new_tokens=128,
        temperature=0.0,
        samples=1,
        seed=None,
        price=Price(prompt=0.0, completion=0.0),
        parameters=None,
    )
    asked = {"concurrency": width, "deadline": 30.0, "retries": 6, "max_cost": None}
    return Server(settings, load_params().runtime.model_copy(update=asked))


def settled(log: list[tuple[float, int, str]]) -> tuple[float, float]:
    """(share of 429, share of the allowed rate) of a server's log, its first seconds left out."""
    start = log[0][0] + SETTLED
    late = [(time, status) for time, status, _ in log if time > start]
    pushed_back = sum(status == 429 for _, status in late)
    return pushed_back / len(late), (len(late) - pushed_back) / (late[-1][0] - start) / RATE


if __name__ == "__main__":
    main()
