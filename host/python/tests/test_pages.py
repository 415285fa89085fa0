"""The pages of the book that are about Python: their code and their commands, one after the other."""

from __future__ import annotations

import importlib.util
import math
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np
import pytest

import fedwasm as fw
from fedwasm import nn
from fedwasm._program import program

from conftest import DATA, ROOT, Federation, Server, served


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of code of a page."""
    found, language, lines = [], None, []
    of_book = ROOT / "docs" / page
    for line in (of_book if of_book.exists() else ROOT / page).read_text().splitlines():
        if language is None and line.startswith("```"):
            language, lines = line[3:], []
        elif language is not None and line.startswith("```"):
            found.append(Block(language, "\n".join(lines) + "\n"))
            language = None
        elif language is not None:
            lines.append(line)
    assert language is None, f"{page}: a block without end"
    return found


class Page:
    """Runs the blocks of a page in a folder."""

    def __init__(self, name: str, folder: Path, sites: Federation | None) -> None:
        self.name = name
        self.folder = folder
        self.sites = sites
        self.servers: list[Server] = []
        # The README leaves the imports out.
        self.names: dict[str, Any] = {"__name__": "page", "fw": fw, "nn": nn, "losses": fw.losses}
        self.refused = ""
        for file in ("digits.csv", "breast_cancer.csv"):
            shutil.copy(DATA / file, folder / file)
        shutil.copy(DATA / "breast_cancer.csv", folder / "bc.csv")

    def run(self) -> None:
        for nth, block in enumerate(blocks(self.name)):
            kind = block.language.split(",")
            if kind == ["python"]:
                self.python(block.text, nth)
            elif kind == ["python", "torch"] and importlib.util.find_spec("torch"):
                self.python(block.text, nth)
            elif kind == ["python", "refused"]:
                with pytest.raises(fw.BuildError) as refused:
                    self.python(block.text, nth)
                self.refused = str(refused.value)
            elif kind == ["text"] and self.refused:
                # What the error says, but for the place.
                said = self.refused.split(": ", 1)[1].split()
                assert block.text.split(": ", 1)[1].split() == said, self.refused
                self.refused = ""
            elif kind == ["console"]:
                self.console(block.text)
        assert not self.refused

    def python(self, text: str, nth: int) -> None:
        # The network of the page is elsewhere here.
        where = self.addresses()
        for called in ("fw.Experiment(", "fw.nodes(", "fw.Job("):
            text = text.replace(called, f"{called}{where}")
        path = self.folder / f"block_{nth}.py"
        path.write_text(text)
        exec(compile(text, str(path), "exec"), self.names)

    def addresses(self) -> str:
        place = self.sites.addresses if self.sites is not None else self.servers[0].ready if self.servers else {}
        return "".join(f"{key}={place[key]!r}, " for key in ("mqtt", "repository") if key in place)

    def console(self, text: str) -> None:
        if "site-1" in text:
            # The page says that the others are the same.
            text += text.replace("site-1", "site-2") + text.replace("site-1", "site-3")
        for line in text.splitlines():
            self.command(shlex.split(line.removeprefix("$ "), comments=True)[1:])

    def command(self, words: list[str]) -> None:
        if words[:2] == ["network", "start"]:
            words += ["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        if words[:2] == ["node", "init"]:
            ready = self.servers[0].ready
            words += ["--mqtt", ready["mqtt"], "--repository", ready["repository"]]
        if words[1] == "start":
            log = self.folder / f"{len(self.servers)}.log"
            self.servers.append(Server(*words, log=log, cwd=self.folder))
            return
        env = {**os.environ, "FEDWASM_PYTHON": sys.executable}
        done = subprocess.run([program(), *words], cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{self.name}: {words}: {done.stdout}{done.stderr}"

    def close(self) -> None:
        for server in reversed(self.servers):
            server.stop()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites for pages that start none; each has all rows."""
    datasets = {"digits": DATA / "digits.csv", "breast-cancer": DATA / "breast_cancer.csv"}
    with served(tmp_path_factory.mktemp("sites")) as federation:
        for site in ("site-1", "site-2", "site-3"):
            federation.start(site, datasets)
        yield federation


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a page in a folder of its own, and stops what it started."""
    monkeypatch.chdir(tmp_path)
    opened: list[Page] = []

    def run(name: str, sites: Federation | None = None) -> dict[str, Any]:
        page = Page(name, tmp_path, sites)
        opened.append(page)
        page.run()
        return page.names

    yield run
    for page in opened:
        page.close()


def test_the_first_plan_is_as_the_page_says(run):
    names = run("first-plan.md")
    assert names["result"].metrics["accuracy"] > 0.96
    assert names["scores"]["accuracy"] > 0.96
    assert len({row["node"] for row in names["experiment"].history()}) == 4


@pytest.mark.parametrize("page", ["README.md", "from-flower.md", "from-fed-biomed.md", "from-pytorch.md", "python.md"])
def test_code_runs(page, run, sites):
    run(page, sites)


def mistakes() -> list[tuple[str, str]]:
    """The rows of the table of what cannot be traced: code, and what is said."""
    text = (ROOT / "docs/python.md").read_text()
    table = text.split("| in a training step |")[1].split("\n\n")[0]
    return [tuple(cell.strip() for cell in row.split(" | ")[:2]) for row in table.splitlines()[2:]]


@pytest.mark.parametrize(("code", "said"), mistakes())
def test_what_cannot_be_traced_is_refused_with_the_words_of_the_page(code, said):
    code = code.removeprefix("| ").strip("`")
    source = (
        "def training_step(self, batch):\n"
        "    loss = fw.losses.cross_entropy(self.net(batch.inputs), batch.targets)\n"
        f"    {code}\n"
        "    return loss\n"
    )
    names: dict[str, Any] = {"fw": fw, "nn": nn, "np": np, "math": math, "time": time, "random": random}
    exec(compile(source, "mistake.py", "exec"), names)

    class Base(fw.Plan):
        hidden: int = 64

        def model(self):
            return nn.Sequential(nn.Linear(self.n_features, self.hidden), nn.Linear(self.hidden, self.n_classes))

    plan = type("Mistake", (Base,), {"training_step": names["training_step"]})
    with pytest.raises(fw.BuildError) as refused:
        fw.plan.build(plan)
    assert str(refused.value).startswith("mistake.py:3: "), refused.value
    assert refused.value.message == said
