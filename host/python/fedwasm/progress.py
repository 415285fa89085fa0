"""Progress of a run: one line in a terminal, a panel with live curves in a notebook."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import Any

from . import _html, _native

NODES_MAX = 16
NOTES_MAX = 5
POINTS_MAX = 500
LINE_PAUSE_S = 0.1
PANEL_PAUSE_S = 0.5


def is_notebook() -> bool:
    """Whether output goes to a notebook. Only a process that runs in IPython has it imported."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def clean(text: Any) -> str:
    """A text that commands no terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


class Progress:
    """Takes the events of a run as JSON, and shows them. ``shows`` is False for a run that says
    nothing but warnings."""

    def __init__(self, title: str, rounds: int | None = None, shows: bool = True) -> None:
        self.title = title
        self.rounds = rounds
        self.bars: dict[str, tuple[int, int, float | None]] = {}
        self.points: list[tuple[float, float]] = []
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self.notes: list[str] = []
        self.round = 0
        self.drawn = 0.0
        self.stride = 1
        self.is_notebook = shows and is_notebook()
        self.is_terminal = shows and not self.is_notebook and sys.stderr.isatty()
        self.shows = shows
        self.handle: Any = None

    def __call__(self, text: str) -> None:
        event = json.loads(text)
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            handler(event)
        self._draw()

    def _on_step(self, event: dict[str, Any]) -> None:
        self.bars[""] = (event["step"], event["steps_max"], event["loss"])
        if event["loss"] is not None and event["step"] % self.stride == 0:
            self.points.append((float(event["step"]), float(event["loss"])))
        if len(self.points) > POINTS_MAX:
            # Half of them show the same curve.
            self.points = self.points[1::2]
            self.stride *= 2

    def _on_progress(self, event: dict[str, Any]) -> None:
        if event["node"] in self.bars or len(self.bars) < NODES_MAX:
            self.bars[event["node"]] = (event["step"], event["steps_max"], event["loss"])
        self.round = event["round"]

    def _on_started(self, event: dict[str, Any]) -> None:
        self.round = event["rounds_done"]
        rows = ", ".join(f"{node} ({n} rows)" for node, n in event["nodes"].items())
        self._say(f"nodes: {rows}")

    def _on_round(self, event: dict[str, Any]) -> None:
        record = event["record"]
        self.round = record["round"]
        self.bars.clear()
        metrics = dict(record["evaluation"]["metrics"]) if record["evaluation"] else {}
        for name, value in metrics.items():
            self.curves.setdefault(name, []).append((float(self.round), value))
        for node, each in record["nodes"].items():
            if each["train_loss"] is not None:
                line = self.curves.setdefault(f"training loss, {node}", [])
                line.append((float(self.round), each["train_loss"]))
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        of = "" if self.rounds is None else f"/{self.rounds}"
        self._say(f"round {self.round}{of}  {shown}")
        self.drawn = 0.0

    def _on_note(self, event: dict[str, Any]) -> None:
        self._say(event["message"])

    def _on_warning(self, event: dict[str, Any]) -> None:
        self._say(f"warning: {event['message']}", always=True)

    def _on_log(self, event: dict[str, Any]) -> None:
        self._say(f"plan ({event['level']}): {event['message']}", always=True)

    def _on_dropped(self, event: dict[str, Any]) -> None:
        self._say(f"{event['node']} does not take part: {event['reason']}", always=True)

    def _on_returned(self, event: dict[str, Any]) -> None:
        self._say(f"{event['node']} takes part again")

    def _on_retry(self, event: dict[str, Any]) -> None:
        self._say(f"round {event['round']} is tried again: {event['reason']}", always=True)

    def _on_waiting(self, event: dict[str, Any]) -> None:
        self._say(f"waiting for {event['left_s']} s at most: {event['reason']}", always=True)

    def _on_stopped(self, event: dict[str, Any]) -> None:
        self._say(f"stopped: {event['reason']}")

    def note(self, text: str) -> None:
        """Shows a remark."""
        self._say(text)

    def _say(self, text: str, always: bool = False) -> None:
        if not self.shows and not always:
            return
        text = clean(text)
        if self.is_notebook:
            self.notes = [*self.notes[-NOTES_MAX + 1 :], text]
            return
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self.is_terminal:
            sys.stderr.write("\r\x1b[K")

    def _draw(self, at_last: bool = False) -> None:
        pause = PANEL_PAUSE_S if self.is_notebook else LINE_PAUSE_S
        now = time.monotonic()
        if not at_last and now - self.drawn < pause:
            return
        self.drawn = now
        if self.is_notebook:
            self._panel()
        elif self.is_terminal and self.bars and not at_last:
            self._line()

    def _line(self) -> None:
        parts = []
        for name, (step, of, loss) in self.bars.items():
            filled = 10 * step // max(of, 1)
            text = f"{name} [{'=' * filled}{' ' * (10 - filled)}] {step}/{of}"
            parts.append(text.strip() + ("" if loss is None else f" loss {loss:.4f}"))
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + clean("  ".join(parts))[:width])
        sys.stderr.flush()

    def html(self) -> str:
        """The panel."""
        of = "" if self.rounds is None else f", round {self.round} of {self.rounds}"
        parts = [f"<b>{_html.text(self.title)}{of}</b>"]
        for name, (step, most, loss) in self.bars.items():
            shown = "" if loss is None else f" loss {loss:.4f}"
            parts.append(f"<div>{_html.text(name)} {_html.bar(step, most)} {step}/{most}{shown}</div>")
        if self.curves:
            lines = list(self.curves.items())[:7]
            parts.append(_native.lines_svg(self.title, "round", "", lines))
        elif len(self.points) > 1:
            parts.append(_native.lines_svg(self.title, "step", "loss", [("training loss", self.points)]))
        parts += [f"<div>{_html.text(note)}</div>" for note in self.notes]
        return f"<div>{''.join(parts)}</div>"

    def _panel(self) -> None:
        from IPython.display import HTML, display

        if self.handle is None:
            self.handle = display(HTML(self.html()), display_id=True)
        else:
            self.handle.update(HTML(self.html()))

    def close(self) -> None:
        """Draws for the last time."""
        self.bars.clear()
        self._clear()
        self._draw(at_last=True)
