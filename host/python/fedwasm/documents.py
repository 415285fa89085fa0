"""What an author wrote beside attributes: trailing comments, texts below, lines of the docstring."""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from functools import lru_cache
from typing import Any

from .places import shown


def of_class(cls: type, base: type) -> dict[str, str]:
    """Descriptions of attributes of a class and those it derives from."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if issubclass(owner, base) and owner is not base:
            found.update(_of_owner(owner))
    return found


def place_of(cls: type, name: str) -> tuple[str | None, int | None]:
    """Where a class sets an attribute."""
    for owner in cls.__mro__:
        source = _source(owner)
        if source is not None and name in owner.__dict__.get("__annotations__", {}):
            lines, first, file = source
            node = _assigned(lines).get(name)
            return shown(file), None if node is None else first + node.lineno - 1
    return None, None


@lru_cache(maxsize=64)
def _source(owner: type) -> tuple[str, int, str] | None:
    try:
        lines, first = inspect.getsourcelines(owner)
        file = inspect.getsourcefile(owner) or ""
    except (OSError, TypeError):
        return None
    return textwrap.dedent("".join(lines)), first, file


def _assigned(source: str) -> dict[str, Any]:
    body = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    return {
        each.target.id: each
        for each in body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


def _of_owner(owner: type) -> dict[str, str]:
    found = _of_docstring(owner.__doc__ or "")
    source = _source(owner)
    if source is None:
        return found
    text = source[0]
    comments = {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(text).body[0].body  # type: ignore[attr-defined]
    for nth, each in enumerate(body):
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        after = body[nth + 1] if nth + 1 < len(body) else None
        below = after.value if isinstance(after, ast.Expr) else None
        if isinstance(below, ast.Constant) and isinstance(below.value, str):
            found[each.target.id] = _line(below.value)
        elif each.end_lineno in comments:
            found[each.target.id] = comments[each.end_lineno]
    return found


def _of_docstring(doc: str) -> dict[str, str]:
    """Lines such as ``hidden: units of the hidden layer``, with bullets or quotes maybe."""
    lines = re.findall(r"^[ \t]*[-*]?[ \t]*`{0,2}(\w+)`{0,2}(?: \([^)]*\))?:[ \t]+(\S.*)$", doc, re.MULTILINE)
    return {name: _line(text) for name, text in lines}


def _line(text: str) -> str:
    return " ".join(text.split())
