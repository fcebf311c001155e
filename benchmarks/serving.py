"""How much faster `tinyllm serve` answers many clients at once than one after another, and whether it says what scoring says.

    python -m benchmarks.serving [--seed N | --model FOLDER] [--clients 32] [--questions 200] [--repeats 3]

The questions are the first of data/questions/test.jsonl. One client asks them one by one; then so many clients share them, each
asking anew once it is answered. Both take turns, and the median of --repeats counts. Every choice is compared with that of
`predict_as_asked` (tinyllm/student/asked.py), which the stage `score` calls. The server is a process of its own. The clients
are another, and so compute on another core where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tinyllm.models.device import prepare_torch
from tinyllm.params.load import load_params
from tinyllm.project import STUDENTS, known_seed
from tinyllm.records.questions import Question, read_questions
from tinyllm.student.asked import predict_as_asked
from tinyllm.student.folder import load_student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    student = parser.add_mutually_exclusive_group()
    student.add_argument("--seed", type=int)
    student.add_argument("--model", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    params = load_params()
    questions = read_questions("data/questions/test.jsonl")[: given.questions]
    folder = given.model or STUDENTS / str(known_seed(given.seed, params))
    prepare_torch(params.train.threads)
    scored = [row["choice"] for row in predict_as_asked(load_student(folder), folder, questions, params)]
    command = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", "serve", "--port", "0"]
    command += ["--model", str(folder)] if given.model else ["--seed", folder.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        try:
            assert server.stdout
            url = server.stdout.readline().partition(" at ")[2].partition(";")[0]
            assert url, "the server did not start"
            seconds: dict[int, list[float]] = {1: [], given.clients: []}
            alike: dict[int, int] = {}
            batches: dict[int, list[int]] = {1: [], given.clients: []}
            for _ in range(given.repeats):
                for clients, times in seconds.items():
                    took, choices, made = asyncio.run(ask_all(url, questions, clients))
                    times.append(took)
                    batches[clients].append(made)
                    alike[clients] = sum(a == b for a, b in zip(choices, scored, strict=True))
        finally:
            server.send_signal(signal.SIGINT)
    print(
        "| clients | seconds (least to most) | questions/s | times one by one | choices as scored |\n|---|---|---|---|---|"
    )
    medians = {clients: statistics.median(times) for clients, times in seconds.items()}
    for clients, median in medians.items():
        spread = f"{min(seconds[clients]):.2f} to {max(seconds[clients]):.2f}"
        rate, faster = len(questions) / median, medians[1] / median
        same = f"{alike[clients]} of {len(questions)}"
        size = len(questions) * given.repeats / sum(batches[clients])
        print(f"| {clients} | {median:.2f} ({spread}) | {rate:.1f} | {faster:.2f} | {size:.1f} | {same} |")


async def ask_all(url: str, questions: Sequence[Question], clients: int) -> tuple[float, list[int], int]:
    """Return the seconds that it took, the choices in the questions' order, and the number of batches."""
    choices: dict[int, int] = {}
    numbers = itertools.count()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:

        async def client() -> None:
            while (i := next(numbers)) < len(questions):
                question = questions[i]
                body = {
                    "model": "student",
                    "messages": [{"role": "user", "content": question.question}],
                    "context": question.context,
                    "choices": list(question.choices),
                    "id": question.id,
                }
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    reply = await response.json()
                    choices[i] = reply["choices"][0]["student"]["choice"]

        async def made() -> int:
            async with session.get(f"{url}/health") as response:
                return int((await response.json())["batches"])

        before = await made()
        start = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        took = time.perf_counter() - start
        after = await made()
    return took, [choices[i] for i in range(len(questions))], after - before


if __name__ == "__main__":
    main()
