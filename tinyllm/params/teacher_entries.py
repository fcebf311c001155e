"""The entries of `teachers`, by backend, and the teachers that come with a public set."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from tinyllm.params.value_types import VISIBLE, Ascii, Count, Place, Positive, Section, Seed, Share, Text, Weight

Released = Literal["obqa", "arc", "piqa", "riddle", "pubmedqa", "bioasq"]
RELEASED: tuple[Released, ...] = get_args(Released)
Other = Literal["svamp", "csqa"]  # public sets besides, with recorded teachers
PUBLIC: tuple[str, ...] = (*RELEASED, *get_args(Other))

_LEVELS = {"gpt4o": 6, "gemini15_flash": 6, "llama3_70b": 6}  # of the rationales of one family of strong teachers
_STRONG = tuple(f"{family}_{level}" for family, most in _LEVELS.items() for level in range(1, most + 1))
PAPER = ("flan_t5_xl", "llama2_chat_7b")
RECORDED: dict[str, tuple[str, ...]] = {  # the teachers whose rationales come with a public set
    **dict.fromkeys(RELEASED, PAPER),
    "obqa": (*PAPER, *_STRONG, "gpt4o_unforced"),
    "svamp": tuple(name for name in _STRONG if name not in ("llama3_70b_5", "llama3_70b_6")),
    "csqa": (*_STRONG, "palm_540b", "llama3_8b"),
}


class ExpertTeacher(Section):
    backend: Literal["expert"]
    kind: Literal["signs", "care"]
    error_rate: Share
    decline_rate: Share
    blind_error_rate: Share
    misleading_rate: Share
    padding: Annotated[int, Field(ge=0)]
    seed: Seed


class RecordedTeacher(Section):
    """`forced` says whether it was shown the gold answer; null, or left out, is unknown."""

    backend: Literal["recorded"]
    parameters: Positive | None
    forced: bool | None = None


class LocalTeacher(Section):
    backend: Literal["local"]
    model: Place
    gguf_file: Place | None
    revision: Ascii | None
    trust_remote_code: bool
    chat: bool
    max_new_tokens: Count
    temperature: Weight
    samples: Count = 1
    seed: Seed
    parameters: Positive | None


class Price(Section):
    prompt: Weight
    completion: Weight


def _check_urls(value: object) -> object:
    urls = value if isinstance(value, tuple) and value else (value,)
    if not all(isinstance(url, str) and re.match("https?://", url) for url in urls):
        raise PydanticCustomError("url", "an address that begins with http:// or https://, or a list of such")
    if not all(isinstance(url, str) and VISIBLE.fullmatch(url) for url in urls):
        raise PydanticCustomError("url", "an address of visible ASCII characters, without blanks")
    return value


Urls = Annotated[str | tuple[str, ...], BeforeValidator(_check_urls)]


class ServerTeacher(Section):
    """A key that is left out of `extra` and what follows it is as in the entry `endpoint`."""

    backend: Literal["server"]
    url: Urls
    model: Ascii
    api: Literal["chat", "completions", "batch"]
    key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None
    context_tokens: Count | None
    max_new_tokens: Count
    temperature: Weight
    samples: Count = 1
    seed: Seed | None
    price: Price
    parameters: Positive | None
    extra: dict[str, Any] = {}
    answers_as: Ascii | None = None
    identity: Text | None = None
    key_header: Literal["Authorization", "api-key", "x-api-key"] = "Authorization"
    plain_http: bool = False

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses that share the teacher's prompts."""
        return (self.url,) if isinstance(self.url, str) else self.url


Teacher = Annotated[ExpertTeacher | RecordedTeacher | LocalTeacher | ServerTeacher, Field(discriminator="backend")]
