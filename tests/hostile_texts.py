"""Texts that a terminal, a page, a table or a file's name must bear: what a model, a data set or a server could say."""

from __future__ import annotations

TERMINAL = {  # what a terminal would obey, or a reader would not see
    "colour": "red\x1b[31m",
    "clear the screen": "\x1b[2J\x1b[H",
    "one-byte CSI": "\x9b2J",
    "write the clipboard": "\x1b]52;c;aGk=\x07",
    "a link": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "set the title": "\x1b]0;mine\x07",
    "device control": "\x1bPq\x1b\\",
    "carriage return": "100% right\rerror",
    "backspaces": "no\x08\x08yes",
    "bell and null": "\x07\x00",
    "next line": "a\x85b",
    "line separator": "a\u2028b\u2029c",
    "override": "\u202egnp.exe",
    "embedding": "\u202aabc\u202c",
    "isolate": "\u2066abc\u2069\u2067abc\u2068",
    "mark of direction": "\u200e\u200f\u061c",
    "no width": "a\u200bd\u200cm\u200din\ufeff",
    "tags": "a\U000e0041\U000e0042\U000e007f",
    "half a character": "a\udfffb\ud800",
    "delete": "\x7f",
    "private use": "\ue000\U000f0000",
    "vertical": "a\x0b\x0cb",
}
MARKUP = {  # what a page or a card would obey
    "script": "</script><script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "picture": "![x](http://evil/x.png)",
    "link": "[x](javascript:alert(1))",
    "bare address": "https://evil/x",
    "html": "<img src=x onerror=alert(1)>",
    "comment": "<!-- --> <!--",
    "table": "a | b |\n|---|",
    "backticks": "``` `x` ~~~",
    "front matter": "---\nlicense: mit\n---",
    "entity": "&lt;b&gt; &#60;",
    "template": "{{ 7 * 7 }} {% raw %}",
}
FORMULAS = {
    "equals": "=1+1",
    "command": "=cmd|' /C calc'!A0",
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "at": "@SUM(1)",
    "tab": "\t=1+1",
    "return": "\r=1+1",
}


def obeyed(text: str, kept: str = "\n\t") -> list[str]:
    """The characters of what was printed that should not be there."""
    return [character for character in text if not character.isprintable() and character not in kept]
