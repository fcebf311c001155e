"""A table of experiments in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyllm.console import printable
from tinyllm.evaluation.wording import p_value, percent, points
from tinyllm.experiments.on_valid import ValidNumber, ValidNumbers
from tinyllm.experiments.table import Gain, Number, Numbers, Row


def as_markdown(made: Numbers) -> str:
    """Return a table's numbers on test, a legend below them."""
    blocks = [f"**{printable(made['title'])}**"]
    for part in made["parts"]:
        blocks += [f"*{part['part']}*"] if part["part"] else []
        blocks.append(_part(part["rows"], made))
    return "\n\n".join([*blocks, _legend(made)])


def valid_markdown(made: ValidNumbers) -> str:
    """Return a table's numbers on valid, a legend below them."""
    blocks = [f"**{printable(made['title'])}: on valid**"]
    several = len(made["columns"]) > 1
    heads = [*(["mean"] if several else []), *made["columns"]]
    for part in made["parts"]:
        blocks += [f"*{part['part']}*"] if part["part"] else []
        lines = _head(heads)
        for row in part["rows"]:
            mean = "" if row["mean"] is None else percent(row["mean"])
            cells = map(_valid_number, row["cells"].values())
            lines.append(markdown_row([row["row"], *([mean] if several else []), *cells]))
        blocks.append("\n".join(lines))
    blocks.append(
        "Accuracy in percent on valid, at each student's best look, mean over seeds; in parentheses each seed's best epoch.\n"
        "\n".join([f"`{made['made_by']}`. Choose settings here, and look at test with those alone.", *made["notes"]])
    )
    return "\n\n".join(blocks)


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a table in Markdown."""
    escaped = [printable(cell).replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _head(heads: Sequence[str]) -> list[str]:
    """The first two lines of a table whose rows have names."""
    return [markdown_row(["", *heads]), "|---" * (1 + len(heads)) + "|"]


def _part(rows: Sequence[Row], made: Numbers) -> str:
    several = len(made["columns"]) > 1
    lines = _head([*(["mean"] if several else []), *made["columns"], f"over {made['control']}", "p (Holm)"])
    for row in rows:
        gain = row["difference"]
        numbers = [*([row["mean"]] if several else []), *row["cells"].values()]
        compared = [_gain(gain), p_value(gain["p_holm"])] if gain else ["", ""]
        lines.append(markdown_row([row["row"], *map(_number, numbers), *compared]))
    return "\n".join(lines)


def _number(cell: Number) -> str:
    ours = [percent(number) for number in (cell["value"], cell["low"], cell["high"]) if number is not None]
    shown = "{} ({} to {})".format(*ours) if ours else ""
    paper = "" if cell["paper"] is None else f"[{cell['paper']:.2f}]"
    return " ".join(filter(None, (shown, paper)))


def _gain(gain: Gain) -> str:
    return f"{points(gain['value'])} ({points(gain['low'])} to {points(gain['high'])})"


def _valid_number(cell: ValidNumber | None) -> str:
    return f"{percent(cell['value'])} ({', '.join(map(str, cell['best_epochs']))})" if cell else ""


def _legend(made: Numbers) -> str:
    over = (
        "over columns like these" if made["columns_are"] == "sample" else "on these columns, over questions and seeds"
    )
    counts = {column: "/".join(map(str, numbers)) for column, numbers in made["questions"].items() if numbers}
    same = len(set(counts.values())) == 1
    asked = next(iter(counts.values())) if same else ", ".join(f"{column} {count}" for column, count in counts.items())
    commits = ", ".join(source["commit"][:7] + ("" if source["head"] else " (not HEAD)") for source in made["commits"])
    lines = [
        "Accuracy in percent on test with its 95% interval over questions and seeds; means and differences: "
        + f"{over}{'; in brackets the paper' if made['paper'] else ''}.",
        f"`{made['made_by']}`; seeds {', '.join(map(str, made['seeds']))}; questions {asked}; experiments of {commits}."
        if commits
        else f"`{made['made_by']}`; no cell has a result yet.",
        *made["notes"],
    ]
    return "\n".join(lines)
