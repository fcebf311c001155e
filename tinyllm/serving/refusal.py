"""What a request is refused with, in the form of OpenAI's errors."""

from __future__ import annotations

from typing import Any

TYPES = {401: "authentication_error", 404: "invalid_request_error", 503: "server_error", 500: "server_error"}
BUG = "the server failed at this request; its terminal says why"


class Refusal(Exception):  # noqa: N818  # the client's mistake as a rule
    """A request that gets an error and no answer."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(status, message, param, code)  # as it is pickled
        self.status, self.message, self.param, self.code = status, message, param, code

    def __str__(self) -> str:
        return self.message

    @property
    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
