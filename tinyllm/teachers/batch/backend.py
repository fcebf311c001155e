"""A live teacher behind OpenAI's Batch API: files of requests, which a service answers within a day for half the price.

A request is the one that client.py sends, and its answer is read as there. So the cache does not tell the two ways apart.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import ServerTeacher
from tinyllm.teachers.batch.files import ENDPOINT, doubtful_keys, multipart, request_line, split_requests
from tinyllm.teachers.cache.batches import Batches, SentBatch
from tinyllm.teachers.cache.entry import answer_key, canonical_json
from tinyllm.teachers.protocol import Failure, Generation, Prompt, UnderWay
from tinyllm.teachers.server.client import LARGEST_FRAME, LARGEST_TOKEN, Server
from tinyllm.teachers.server.responses import Fatal, Outcome, Retryable
from tinyllm.teachers.server.web import TRANSFER, Request, Web, parse, said

FIRST_POLL, LONGEST_POLL, SLOWER = 1.0, 60.0, 1.5  # s until the first look at a batch, and the longest between two
LARGEST_FILE = 4_000_000_000  # bytes
STRAYED = Failure("not_its_own", "the batch has two answers for it, or one that two prompts got", unanswered=1)
MOST_PAGES = 1000  # of a list of batches, 100 on each
ENDED = ("completed", "failed", "expired", "cancelled")
UNANSWERED = ("batch_expired", "batch_cancelled")  # codes of a request that was not worked on


class BatchServer:
    """Answers prompts by sending them to one endpoint in batches, and waiting until these are done."""

    def __init__(self, settings: ServerTeacher, runtime: Runtime, cache: Path, name: str = "NAME") -> None:
        """
        Args:
            cache: the file of the answer cache, which remembers the batches.

        Raises:
            ValueError: the url holds more than an address.
        """
        self._server = Server(settings.model_copy(update={"api": "chat"}), runtime, name)
        self._settings, self._runtime = settings, runtime
        self._url = self._server.urls[0]
        self.context_tokens, self.max_new_tokens = self._server.context_tokens, self._server.max_new_tokens
        self.identity = self._server.identity
        self._batches = Batches(cache, hashlib.sha256(canonical_json(self.identity, "identity")).hexdigest())

    def count_tokens(self, prompt: Prompt) -> int:
        """Return an estimate, rather too high than too low: only the endpoint knows its tokenizer."""
        return self._server.count_tokens(prompt)

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Generator[tuple[int, Generation | Failure]]:
        """Yield each answer once its batch is done, those of batches that an earlier process sent first.

        All batches are sent before the first is waited for. Prompts from the first on for which there is no budget are in none.

        Raises:
            UnderWay: the endpoint cannot be reached; the batches are still there, to be collected another time.
            ValueError: the key is not where the settings say, the endpoint refuses a batch, or one ended without all answers.
        """
        wanted = {answer_key(self.identity, prompt, prompt.sample): index for index, prompt in enumerate(prompts)}
        self._server.load_key()
        with self._server.session() as (loop, opened):
            web, faults = Web(self._server, self._runtime, loop, opened.fresh), []
            sent = [
                self._named(web, batch) for batch in self._batches.open() if not wanted.keys().isdisjoint(batch.keys)
            ]
            covered = {key for batch in sent for key in batch.keys}
            fresh = [(key, prompts[index], index) for key, index in wanted.items() if key not in covered]
            try:
                for requests in split_requests(self._admitted(fresh, reserve)):
                    sent.append(self._send(web, requests))
            except UnderWay:
                raise
            except ValueError as error:
                if not sent:
                    raise
                faults.append(str(error))  # what was sent before is collected first
            for batch in sent:
                faults.append((yield from self._collect(web, batch, wanted, prompts)))
        if faults := [fault for fault in faults if fault]:
            raise ValueError(f"{'; '.join(faults)}; what was answered is kept: run again to ask the rest")

    def _admitted(
        self, fresh: Sequence[tuple[str, Prompt, int]], reserve: Callable[[int], bool]
    ) -> Iterator[tuple[str, bytes]]:
        for key, prompt, index in fresh:
            if not reserve(index):
                return
            yield key, request_line(key, self._server.body(prompt))

    def _send(self, web: Web, requests: Sequence[tuple[str, bytes]]) -> SentBatch:
        """Upload the requests and make a batch of them; it is remembered between the two."""
        boundary = uuid.uuid4().hex
        body = multipart([line for _, line in requests], boundary)
        kind = f"multipart/form-data; boundary={boundary}"
        reply = web.request(Request("POST", "files", body, kind, seconds=TRANSFER), error=ValueError)
        file = "" if isinstance(reply, Failure) else self._id(parse(reply), "id")
        if not file:
            why = said(reply) if isinstance(reply, Failure) else "a reply that names no file"
            raise ValueError(f"{self._url}/files: {why}; set api to chat if the server has no Batch API")
        sent = self._make(web, self._batches.add(file, [key for key, _ in requests]))
        print(
            f"batch {sent.batch}: {len(requests)} requests sent; a run that is stopped goes on with it", file=sys.stderr
        )
        return sent

    def _named(self, web: Web, sent: SentBatch) -> SentBatch:
        """Return a remembered batch with its id: a process may have been killed before it heard of that."""
        if sent.batch is not None:
            return sent
        found = self._find(web, sent.input_file)
        return self._batches.name(sent, found) if found else self._make(web, sent)

    def _make(self, web: Web, sent: SentBatch) -> SentBatch:
        """Ask for a batch; where it is not known whether one was made, look before asking again."""
        asked = {"input_file_id": sent.input_file, "endpoint": ENDPOINT, "completion_window": "24h"}
        body = json.dumps(asked).encode()
        for number in range(self._runtime.retries + 1):
            outcome = web.attempt(Request("POST", "batches", body))
            if isinstance(outcome, bytes):
                if batch := self._id(web.fields(outcome, "batches"), "id"):
                    return self._batches.name(sent, batch)
                outcome = Retryable("no_batch", "a reply that names no batch", charged=True)
            if not isinstance(outcome, Retryable):
                self._batches.narrow(sent, [])
                raise ValueError(f"{self._url}/batches: {said(outcome)}")
            web.pause(number, outcome)
            if found := self._find(web, sent.input_file):
                return self._batches.name(sent, found)
        raise UnderWay(f"{self._url}/batches: {said(outcome)}; run again, the requests are uploaded")

    def _find(self, web: Web, input_file: str) -> str | None:
        """Return the id of the batch that was made of a file, None where there is none."""
        path = "batches?limit=100"
        for _ in range(MOST_PAGES):
            page = web.fields(web.request(Request("GET", path)), "batches")
            data = page.get("data")
            batches = [batch for batch in data if isinstance(batch, dict)] if isinstance(data, list) else []
            for batch in batches:
                if batch.get("input_file_id") == input_file and (name := self._id(batch, "id")):
                    return name
            last = self._id(batches[-1], "id") if batches else ""
            if not page.get("has_more") or not last:
                break
            path = f"batches?limit=100&after={last}"
        return None

    def _collect(
        self, web: Web, sent: SentBatch, wanted: dict[str, int], prompts: Sequence[Prompt]
    ) -> Generator[tuple[int, Generation | Failure], None, str]:
        """Wait for a batch and yield what became of its prompts. Return why some have no answer, "" where all have one.

        Args:
            wanted: by key its prompt; what is answered is taken out.
        """
        batch, others = self._wait(web, sent), [key for key in sent.keys if key not in wanted]
        fault = self._errors(batch)
        files = [self._id(batch, name) for name in ("output_file_id", "error_file_id")]
        lines = [pair for file in files for pair in self._lines(web, file, len(sent.keys))]
        doubtful = doubtful_keys(lines)
        for key, line in lines:
            if key not in wanted:
                named = "" if key in sent.keys else f"its file names {self._server.shown(key)}, which was not asked"
                fault = fault or named
                continue
            outcome = STRAYED if key in doubtful else self._read(line, prompts[wanted[key]])
            if isinstance(outcome, Fatal):
                fault = outcome.message
            elif outcome is not None:
                yield wanted.pop(key), outcome
        missing = [key for key in sent.keys if key in wanted]
        for key in missing:  # the money that is reserved for it is free again
            yield wanted[key], Failure("not_answered", f"batch {sent.batch} ended as {batch['status']} without it")
        self._batches.narrow(sent, others)
        if not missing:
            return ""
        ended = f"{self._url}: batch {sent.batch} ended as {batch['status']} without {len(missing)} of {len(sent.keys)} answers"
        return f"{ended} ({fault})" if fault else ended

    def _wait(self, web: Web, sent: SentBatch) -> dict[str, Any]:
        """Return what the server says of a batch once that has ended."""
        pause = FIRST_POLL
        while True:
            reply = web.request(Request("GET", f"batches/{sent.batch}"))
            batch = {"status": "unknown"} if isinstance(reply, Failure) else web.fields(reply, "batches")
            if not isinstance(status := batch.get("status"), str):
                raise UnderWay(
                    f"{self._url}/batches/{sent.batch}: a reply without a status; run again to look once more"
                )
            if status in (*ENDED, "unknown"):
                return batch
            web.sleep(pause)
            pause = min(LONGEST_POLL, pause * SLOWER)

    def _lines(self, web: Web, file: str, count: int) -> Iterator[tuple[str, bytes]]:
        """Yield key and line of each answer in a file of the server; none where it has no such file."""
        if not file:
            return
        longest = LARGEST_FRAME + LARGEST_TOKEN * self.max_new_tokens
        largest = min(LARGEST_FILE, count * longest)
        reply = web.request(Request("GET", f"files/{file}/content", seconds=TRANSFER, largest=largest))
        for line in [] if isinstance(reply, Failure) else reply.split(b"\n"):
            fields = parse(line)
            if isinstance(fields, dict) and isinstance(fields.get("custom_id"), str):
                yield fields["custom_id"], line

    def _read(self, line: bytes, prompt: Prompt) -> Generation | Failure | Fatal | None:
        """Return what a line holds, None where the request was not worked on."""
        fields = json.loads(line)
        response, error = fields.get("response"), fields.get("error")
        if not isinstance(response, dict):
            if isinstance(error, dict) and error.get("code") in UNANSWERED:
                return None
            return Failure("server_error", self._server.shown(error))
        status, body = response.get("status_code"), response.get("body")
        try:
            text = json.dumps(body).encode()
        except RecursionError:
            return Failure("not_json", "an answer that is nested too deep to be read", unanswered=1)
        if status == 200:
            return _plain(self._server.read_body(text, prompt))
        code = status if isinstance(status, int) and 100 <= status <= 599 else 0
        return _plain(self._server.read_refusal(code, {}, text))

    def _id(self, fields: object, name: str) -> str:
        """Return an id in a reply, "" where there is none, or one that could not stand in an address, or holds the key."""
        found = fields.get(name) if isinstance(fields, dict) else None
        fit = (
            isinstance(found, str)
            and re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", found)
            and not self._server.holds_key(found)
        )
        return found if isinstance(found, str) and fit else ""

    def _errors(self, batch: Mapping[str, Any]) -> str:
        """Return the first of a batch's own errors, as where its file was refused."""
        errors = batch.get("errors")
        data = errors.get("data") if isinstance(errors, dict) else None
        first = data[0] if isinstance(data, list) and data else None
        return self._server.shown(first.get("message")) if isinstance(first, dict) else ""


def _plain(outcome: Outcome) -> Generation | Failure | Fatal:
    if isinstance(outcome, Retryable):
        return Failure(outcome.reason, outcome.detail, unanswered=int(outcome.charged))
    return outcome
