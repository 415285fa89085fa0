"""The notebook runs from top to bottom, and holds no outputs."""

from __future__ import annotations

import ast
import json
import shutil
from typing import Any

from conftest import ROOT

NOTEBOOK = ROOT / "examples/notebook/first-plan.ipynb"


def show(value: Any) -> str:
    """A value as a cell shows it."""
    html = getattr(value, "_repr_html_", None)
    return repr(value) if html is None else html()


def run(cells: list[dict[str, Any]], names: dict[str, Any]) -> list[str]:
    """Runs the code of cells one after the other and returns what their last lines show."""
    shown = []
    for cell in cells:
        source = "".join(cell["source"])
        name = f"<ipython-input-{cell['id']}>"
        tree = ast.parse(source, name)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
            shown.append("" if value is None else show(value))
    return shown


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "notebook"
    folder.mkdir()
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "examples/data/digits.csv", tmp_path / "data")
    monkeypatch.chdir(folder)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        shown = run(cells, names)
    finally:
        for server in names.get("running", []):
            if server.poll() is None:
                server.kill()
                server.wait()
    scores = names["scores"]
    alone = [scores[f"site-{nth} alone"] for nth in (1, 2, 3)]
    assert scores["federation"] > max(alone) and scores["federation"] > scores["all rows"] - 0.03, scores
    assert names["result"].metrics["accuracy"] > 0.95
    printed = capsys.readouterr().out
    assert "cross_entropy" in printed and "Tensor(0." in printed
    assert sum("<svg" in text for text in shown) >= 2


def test_the_notebook_holds_no_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
