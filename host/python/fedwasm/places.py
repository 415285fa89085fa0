"""Lines of the author's source, and the errors that name them."""

from __future__ import annotations

import contextlib
import os
import sys
from types import FrameType
from typing import Iterator, NoReturn

from .errors import ConfigurationError

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# It calls the author's functions: what called it is no author.
_TRACER = (_PACKAGE + "graphs.py", "_run")
_LIBRARY = os.path.dirname(os.__file__) + os.sep
# Plans that are shipped are written as any others.
_AUTHORED = _PACKAGE + "plans"


class BuildError(ConfigurationError):
    """A plan that cannot be traced: what is wrong, where in the author's source, and what to do.

    ``file`` and ``line`` are None if no line of the author's is at fault.
    """

    def __init__(
        self, message: str, help: str | None = None, file: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, help)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.file}:{self.line}: {text}" if self.file else text


def is_authors(file: str) -> bool:
    """Whether a file of source is the author's, and not this package's."""
    if file.startswith("<frozen "):
        return False
    return not file.startswith(_PACKAGE) or file.startswith(_AUTHORED)


def authors_frame() -> FrameType | None:
    """The innermost frame of the author's source, or else of a library that the author called; none
    if this package called it by itself."""
    frame: FrameType | None = sys._getframe(1)
    of_library = None
    while frame is not None and (frame.f_code.co_filename, frame.f_code.co_name) != _TRACER:
        file = frame.f_code.co_filename
        if is_authors(file):
            if not is_library(file):
                return frame
            of_library = of_library or frame
        frame = frame.f_back
    return of_library


def is_library(file: str) -> bool:
    """Whether a file is of Python's library or an installed package."""
    return file.startswith(_LIBRARY) or f"{os.sep}site-packages{os.sep}" in file


def place() -> tuple[str, int] | None:
    """File and line at which the author's source called this package, or that an importer says."""
    if _said:
        return _said[-1]
    frame = authors_frame()
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


_said: list[tuple[str, int]] = []


@contextlib.contextmanager
def at(file: str | None, line: int | None) -> Iterator[None]:
    """Says the place of all calls inside: an importer does what is written elsewhere."""
    if file is None or line is None:
        yield
        return
    _said.append((file, line))
    try:
        yield
    finally:
        _said.pop()


def refuse(message: str, help: str | None = None) -> NoReturn:
    """Raises a :class:`BuildError` at the author's line."""
    here = place()
    file, line = (None, None) if here is None else (shown(here[0]), here[1])
    error = BuildError(message, help, file, line)
    if _refused is not None:
        _refused.append(error)
    raise error


_refused: list[BuildError] | None = None


@contextlib.contextmanager
def none_swallowed() -> Iterator[None]:
    """Raises at the end the first error of :func:`refuse` that the code inside caught."""
    global _refused
    before, _refused = _refused, []
    try:
        yield
        if _refused:
            raise _refused[0]
    finally:
        _refused = before


def shown(file: str) -> str:
    """A file's name for messages: relative to the working directory if it is below it."""
    if file.startswith("<") or is_cell(file):
        return "notebook" if is_cell(file) else file
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative


def is_cell(file: str) -> bool:
    """Whether the source is a cell of a notebook, whose file's name differs from run to run."""
    return file.startswith("<ipython-input-") or f"{os.sep}ipykernel_" in file
