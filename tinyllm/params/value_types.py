"""What a value of params.yaml may be, beyond a text or a number; and the base of its sections."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("text", "a text without line breaks, control characters and marks that are not seen")
    return text


def _check_stripped(text: str) -> str:
    if text != text.strip():
        raise PydanticCustomError("place", "a text without blanks around it")
    return text


def _check_ascii(text: str) -> str:
    if not VISIBLE.fullmatch(text):
        raise PydanticCustomError("ascii", "a text of visible ASCII characters, without blanks")
    return text


def _check_number_or_all(value: Any) -> Any:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("number_or_all", "a whole number from 1 on, or all")  # a union would be told twice


TRACKERS = ("dvclive", "trackio", "wandb", "mlflow", "tensorboard")  # each is a package, and an extra of pyproject.toml


def _as_trackers(value: Any) -> tuple[str, ...]:
    """`none`, one name or a list of names; blank is none, too."""
    names = value if isinstance(value, tuple | list) else [] if value in (None, "none") else [value]
    if all(name in TRACKERS for name in names) and len({*names}) == len(names):
        return tuple(names)
    raise PydanticCustomError("trackers", "none, or different ones of {names}", {"names": ", ".join(TRACKERS)})


VISIBLE = re.compile("[!-~]+")  # what may stand in an address, and in a name that is sent
Text = Annotated[str, Field(min_length=1), AfterValidator(_check_printable)]
Place = Annotated[Text, AfterValidator(_check_stripped)]  # a folder, a file, an id on the hub
Ascii = Annotated[str, Field(min_length=1), AfterValidator(_check_ascii)]
CountOrAll = Annotated[int | Literal["all"], PlainValidator(_check_number_or_all)]
Trackers = Annotated[tuple[str, ...], BeforeValidator(_as_trackers)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
