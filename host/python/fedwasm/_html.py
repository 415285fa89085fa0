"""HTML for notebooks. Every text that a plan, a node or a file gave is escaped."""

from __future__ import annotations

from html import escape
from typing import Any, Iterable, Sequence

ROWS_MAX = 30


def text(value: Any) -> str:
    """A value as an escaped text; numbers with four digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    # Characters that turn text around or hide it are shown as what they are.
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)))


def table(rows: Sequence[dict[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Rows as a table; of many, the first and the last."""
    if columns is None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
    columns = list(columns)
    head = "".join(f"<th>{text(column)}</th>" for column in columns)
    if len(rows) > ROWS_MAX:
        shown = [*rows[: ROWS_MAX // 2], None, *rows[-ROWS_MAX // 2 :]]
    else:
        shown = list(rows)
    body = []
    for row in shown:
        cells = ["…"] * len(columns) if row is None else [text(row.get(c)) for c in columns]
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def pairs(values: dict[str, Any]) -> str:
    """Names and values as a table of two columns."""
    rows = (f"<tr><th style='text-align:left'>{text(k)}</th><td>{text(v)}</td></tr>" for k, v in values.items())
    return f"<table>{''.join(rows)}</table>"


def bar(done: int, of: int) -> str:
    """A bar of progress."""
    return f"<progress value='{int(done)}' max='{max(int(of), 1)}' style='width:16em'></progress>"
