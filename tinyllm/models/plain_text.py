"""Text as a model reads it: a special token's name in a text, such as `</s>`, is text; in a chat template it is the token."""

from __future__ import annotations

import copy
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase


class PlainText:
    """A tokenizer that sees no special token in a text; a text without one has the ids that the tokenizer always gave it.

    The library's `split_special_tokens` is not enough where the vocabulary itself holds the special tokens, as T5's does: there
    they are found once more. So a text with one is read by a copy of the tokenizer whose special tokens have names that nobody
    can guess.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._controls = _control_tokens(tokenizer)
        ends = (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id)
        # its id says nothing of what was read: characters that the vocabulary lacks have it too
        self.unknown_id = None if tokenizer.unk_token_id in ends else tokenizer.unk_token_id
        self._unknown = None if self.unknown_id is None else tokenizer.unk_token
        self._control_ids = {id_ for token, id_ in self._controls.items() if token != self._unknown}
        self._tokens, salt = list(self._controls), secrets.token_hex(16)
        self._names = {token: f"<{salt}:{number}>" for number, token in enumerate(self._tokens)}
        self._shields = {token: f"[{salt}:{number}]" for number, token in enumerate(self._tokens)}
        self._shield = re.compile(rf"\[{salt}:(\d+)\]")
        self._added = {
            added: self._count(tokenizer("", add_special_tokens=added)["input_ids"]) for added in (False, True)
        }

    def ids(self, texts: Sequence[str], add_special_tokens: bool = True, templated: bool = False) -> list[list[int]]:
        """Return the ids of each text.

        Args:
            templated: whether they come from `render`

        Raises:
            ValueError: the tokenizer cannot read one of them as text.
        """
        return self._read("text", texts, add_special_tokens, templated)

    def target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of texts that a sequence-to-sequence model is to write, with what ends them.

        Raises:
            ValueError: the tokenizer cannot read one of them as text.
        """
        return self._read("text_target", texts, True, False)

    def offsets(self, text: str, add_special_tokens: bool, templated: bool) -> tuple[list[int], list[tuple[int, int]]]:
        """Return a text's ids and the characters, from and to, that each stands for. A slow tokenizer does not tell."""
        options = {"add_special_tokens": add_special_tokens, "verbose": False, "return_offsets_mapping": True}
        encoded = (self._copy if templated else self.tokenizer)(text, **options)
        if not templated and self._holds_control(text, encoded["input_ids"], add_special_tokens):
            encoded = self._copy(text, **options)
        return encoded["input_ids"], encoded["offset_mapping"]

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Return messages in the chat template, for `ids`: what they say is text, what the template adds is not.

        Raises:
            ValueError: the tokenizer cannot tell the two apart. A template's own errors are jinja2's.
        """
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
        if not self.tokenizer.is_fast:
            if found := [match[0] for message in messages if (match := self._pattern.search(message["content"]))]:
                raise self._cannot(found[0])
            return str(self.tokenizer.apply_chat_template(list(messages), **options))
        shielded = [{**message, "content": self._renamed(message["content"], self._shields)} for message in messages]
        text = self._renamed(str(self.tokenizer.apply_chat_template(shielded, **options)), self._names)
        return self._shield.sub(lambda match: self._tokens[int(match[1])], text)

    def written(self, text: str) -> str:
        """Return a text as a model with this tokenizer can write it: FLAN-T5's has no line break or curly bracket."""
        (ids,) = self.ids([text])
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _read(self, field: str, texts: Sequence[str], add_special_tokens: bool, templated: bool) -> list[list[int]]:
        if not texts:
            return []
        options: dict[str, Any] = {"add_special_tokens": add_special_tokens, "verbose": False}
        if not self.tokenizer.is_fast:
            return [self._read_in_python(field, text, templated, options) for text in texts]
        reader = self._copy if templated else self.tokenizer
        encoded = reader(**{field: list(texts)}, **options)["input_ids"]
        for i, text in enumerate(texts):
            if not templated and self._holds_control(text, encoded[i], add_special_tokens):
                encoded[i] = self._copy(**{field: text}, **options)["input_ids"]
                self._check(text, encoded[i], add_special_tokens)
        return encoded

    def _read_in_python(self, field: str, text: str, templated: bool, options: dict[str, Any]) -> list[int]:
        if templated or not self._pattern.search(text):
            return self.tokenizer(**{field: text}, **options)["input_ids"]
        ids = self.tokenizer(**{field: text}, **options, split_special_tokens=True)["input_ids"]
        self._check(text, ids, options["add_special_tokens"])
        return ids

    def _holds_control(self, text: str, ids: Sequence[int], add_special_tokens: bool) -> bool:
        """Whether the tokenizer itself finds a special token in a text, to which it gives these ids."""
        named = self._unknown is not None and self._unknown in text
        return named or self._count(ids) != self._added[add_special_tokens]

    def _check(self, text: str, ids: Sequence[int], add_special_tokens: bool) -> None:
        if self._count(ids) != self._added[add_special_tokens]:
            found = self._pattern.search(text)
            raise self._cannot(found[0] if found else text)

    def _count(self, ids: Sequence[int]) -> int:
        return sum(map(self._control_ids.__contains__, ids))

    @cached_property
    def _copy(self) -> PreTrainedTokenizerBase:
        """The tokenizer with other names of its special tokens."""
        other: Any = copy.copy(self.tokenizer)
        parts = json.loads(self.tokenizer.backend_tokenizer.to_str())
        _rename(parts, self._names)
        other._tokenizer = Tokenizer.from_str(json.dumps(parts))
        return other

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._controls, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def _renamed(self, text: str, names: Mapping[str, str]) -> str:
        return self._pattern.sub(lambda match: names[match[0]], text)

    def _cannot(self, token: str) -> ValueError:
        return ValueError(
            f"the tokenizer of {self.tokenizer.name_or_path} cannot read {token!r} as text, only as its special token; "
            "take it out of the data, or use another model"
        )


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return the special tokens with their ids, and those that the chat template writes, such as `<think>`."""
    template = str(tokenizer.chat_template or "")
    written = {
        str(token): id_
        for id_, token in tokenizer.added_tokens_decoder.items()
        if token.special or not (str(token).isspace() or str(token).isalnum()) and str(token) in template
    }
    return {**written, **dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))}


def _rename(parts: dict[str, Any], names: Mapping[str, str]) -> None:
    """Give tokens other names in a tokenizer's own description, in its vocabulary too; their ids stay."""
    for token in parts["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = parts["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): id_ for piece, id_ in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in pairs if not names.keys() & {*pair, "".join(pair)}]
