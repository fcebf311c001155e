"""What a reader sees of a text: two texts that look alike are one, whatever characters they are made of."""

from __future__ import annotations

import unicodedata

import regex

# A joiner, a mark of direction, a soft hyphen, a filler or a variation selector is not seen. A joiner between two emoji is,
# and one that a script needs (RFC 5892, A.1 and A.2; in Bengali also before a virama). So are the tags behind a black flag.
_NOT_SEEN = regex.compile(
    r"""
    (?! (?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F]) \u200D (?=\p{Extended_Pictographic})
      | (?<=\p{ccc=9}) [\u200C\u200D]
      | \u200D (?=\p{ccc=9})
      | (?<=[\p{jt=D}\p{jt=L}]\p{jt=T}*) \u200C (?=\p{jt=T}*[\p{jt=D}\p{jt=R}])
      | (?<=\U0001F3F4[\U000E0020-\U000E007E]*) [\U000E0020-\U000E007F]
    )
    [\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFB\u2800[\p{Cc}--\s]]
    """,
    regex.VERBOSE | regex.V1,
)


def composed(text: str) -> str:
    """Return the text with a letter and its accents as one character, where Unicode has one: its form NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def seen_text(text: str) -> str:
    """Return the text composed, without what is not seen, white space folded."""
    if text.isascii() and text.isprintable():
        return text
    return " ".join(_NOT_SEEN.sub("", composed(text)).split())
