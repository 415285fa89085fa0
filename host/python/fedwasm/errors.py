"""Errors, by the exit codes of the command line."""

from __future__ import annotations


class Error(Exception):
    """A run failed (exit code 1). ``help`` is the cure, if one is known."""

    code = 1

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        return self.message if self.help is None else f"{self.message}\nhelp: {self.help}"


class ConfigurationError(Error, ValueError):
    """Arguments, files or data are wrong (exit code 2)."""

    code = 2


class PlanRefused(Error):
    """The plan is refused: at admission, or by every node (exit code 3)."""

    code = 3


class PlanFailed(Error):
    """The plan failed while it ran (exit code 4)."""

    code = 4


class NotEnoughNodes(Error):
    """Too few nodes took part, or a deadline passed (exit code 5)."""

    code = 5
