"""The program ``fedwasm``: the one that the wheel carries."""

from __future__ import annotations

import os
import sys

from ._program import program


def main() -> None:
    """Becomes the program, with the same arguments; `build` is what the program itself calls for a
    plan in Python."""
    if sys.argv[1:2] == ["build"]:
        from ._build import main as build

        sys.exit(build(sys.argv[2:]))
    path = program()
    # Plans written in Python are built by the interpreter that has this package.
    os.environ.setdefault("FEDWASM_PYTHON", sys.executable)
    os.execv(path, [path, *sys.argv[1:]])


if __name__ == "__main__":
    main()
