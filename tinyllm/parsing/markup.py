"""What stands around the text of today's models: their thinking, and the special tokens of their chat templates.

A thinking model writes `<think>...</think>`, or one of the other marks below, before what it says. gpt-oss writes channels (the
harmony format): `analysis` is its thinking, `final` what it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAGS = r"(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|seed:think)"
_OPEN = rf"<{_TAGS}(?:\s[^<>]{{0,80}})?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|<unused94>(?:thought\n)?"
_CLOSE = rf"</{_TAGS}\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<unused95>"
_MARK = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_MAYBE = re.compile(r"[<\[◁]")  # without one of these a text has no markup

_CHANNEL = re.compile(
    r"(?:<\|start\|>\s*assistant[^<]{0,80})?<\|channel\|>\s*(?P<name>\w+)[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>")
_BARE_CHANNELS = re.compile(
    r"\s*analysis(?=[A-Z\s])(?P<thinking>.*?)assistant\s?final(?P<said>.*)", re.DOTALL
)  # tokens lost

_ROLE = r"(?:assistant|model|ai|bot|chatbot|gpt|response)"
_HEAD = re.compile(  # what a template puts before the model's turn
    rf"""\s*(?:
        <\|(?:im_start|start_header_id|start|role_start)\|>\s*{_ROLE}\s*(?:<\|(?:end_header_id|message|im_sep|role_end)\|>)?
      | <(?:start_of_turn|turn)>\s*{_ROLE}\b | <\|(?:assistant|model|bot)\|> | <｜Assistant｜>
      | <\|(?:begin_of_text|startoftext|begin_of_solution)\|> | <｜begin▁of▁sentence｜> | <(?:s|bos|pad|unk)> | \[BOS\]
      | <\|START_OF_TURN_TOKEN\|><\|CHATBOT_TOKEN\|> | <\|(?:START_RESPONSE|START_TEXT)\|> | \[/INST\] | <</SYS>>
      | (?:\#{{1,4}}\s*|\*\*)?(?:assistant|response|ai)\s*:(?:\*\*)?
      | \#{{1,4}}\s*(?:assistant|response)\s*\n
    )\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_SPEAKER = re.compile(r"\s*(?:#{1,4}\s*|\*\*)?(?:assistant|response|ai)\s*:(?:\*\*)?\s*", re.IGNORECASE)
_PROMPT = re.compile(r"\s*(?:<s>\s*)?\[INST\].*?\[/INST\]|\s*<<SYS>>.*?<</SYS>>", re.DOTALL)  # the prompt, sent back
_END = re.compile(  # of the model's turn; what follows is another's
    r"""<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|end_of_solution|end|return|eos|eot|im_start|start_header_id
            |start|user|system|assistant|END_OF_TURN_TOKEN|START_OF_TURN_TOKEN|END_RESPONSE|END_TEXT|separator)\|>
      | <｜(?:end▁of▁sentence|User|Assistant)｜> | </s> | <s> | <(?:eos|bos|end_of_turn|start_of_turn|turn\|?|eot)>
      | \[/?INST\] | <</?SYS>> | \[EOS\]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NOISE = re.compile(r"<(?:pad|unk|mask)>|<0x0A>|<\|(?:begin_of_solution|end_of_solution|pad)\|>|�+", re.IGNORECASE)


@dataclass(frozen=True)
class Parts:
    """A model's output, apart: `said` is what follows its thinking; `open_end` is true of thinking without its end."""

    said: str
    thinking: str = ""
    open_end: bool = False


def take_apart(text: str) -> Parts:
    """Return what a model said and what it thought before, without tags and special tokens; in linear time."""
    if not _MAYBE.search(text):
        bare = _BARE_CHANNELS.match(text) if text.lstrip().startswith("analysis") else None
        head = _SPEAKER.match(text)
        return (
            Parts(bare["said"].strip(), bare["thinking"].strip())
            if bare
            else Parts(text[head.end() :] if head else text)
        )
    if "<|channel|>" in text:
        return _from_channels(text)
    text = _without_head(text)
    said, thinking, open_end = _without_thinking(text)
    return Parts(_own_turn(said), _own_turn(thinking), open_end)


def _from_channels(text: str) -> Parts:
    """Take harmony's channels apart; what stands before the first is thinking whose start was cut off."""
    heads = list(_CHANNEL.finditer(text))
    said: list[str] = []
    thinking: list[str] = []
    for head, following in zip(heads, [*heads[1:], None], strict=False):
        end = _CHANNEL_END.search(text, head.end(), following.start() if following else len(text))
        body = text[head.end() : end.start() if end else following.start() if following else len(text)]
        (said if head["name"] == "final" else thinking).append(body.strip())
    if not said and not thinking:
        return Parts(_own_turn(text))
    return Parts(_own_turn("\n".join(said[-1:])), "\n".join(thinking), open_end=not said)


def _without_thinking(text: str) -> tuple[str, str, bool]:
    """Return what stands outside of all thinking, the thinking, and whether its end is missing."""
    said: list[str] = []
    thinking: list[str] = []
    start, depth = 0, 0
    for mark in _MARK.finditer(text):
        piece = text[start : mark.start()]
        start = mark.end()
        if mark["close"] and not depth:  # the template had opened it
            thinking += [*said, piece]
            said = []
            continue
        (thinking if depth else said).append(piece)
        depth = 1 if mark["open"] else 0
    (thinking if depth else said).append(text[start:])
    return "".join(said).strip(), "\n".join(part.strip() for part in thinking if part.strip()), bool(depth)


def _own_turn(text: str) -> str:
    """Return the model's own turn: neither the prompt before it nor the turns behind it."""
    text = _without_head(text)
    end = _END.search(text)
    text = text[: end.start()] if end else text
    return _NOISE.sub("", text).strip()


def _without_head(text: str) -> str:
    place = 0
    while head := _PROMPT.match(text, place) or _HEAD.match(text, place):
        place = head.end()
    return text[place:]
