"""A real federation on loopback: broker, repository and nodes are processes of the program that the
package carries."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest

from fedwasm._program import program

import site_data

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "examples" / "data"
PLANS = ROOT / "plugins" / "dist"


def run(*args: object) -> str:
    """Runs a command of the program to its end and returns its output."""
    done = subprocess.run([program(), *map(str, args)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


class Server:
    """A command that serves until it is stopped, by its process id. It is ready when it is made."""

    def __init__(self, *args: object, log: Path, cwd: Path | None = None) -> None:
        command = [program(), "--json", *map(str, args)]
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd
            )
        assert self.process.stdout is not None
        events = (json.loads(line) for line in self.process.stdout)
        self.ready: dict[str, Any] = next((event for event in events if event["event"] == "ready"), {})
        assert self.ready, f"{args} ended: {log.read_text()}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Federation:
    """A network on free ports, and the nodes that were started in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        place = ("--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0")
        self.served = Server("network", "start", "--dir", directory / "network", *place, log=directory / "network.log")
        self.nodes: dict[str, Server] = {}

    @property
    def addresses(self) -> dict[str, str]:
        """Broker and repository, as arguments of an experiment."""
        return {"mqtt": self.served.ready["mqtt"], "repository": self.served.ready["repository"]}

    @property
    def network(self) -> dict[str, Any]:
        """Addresses and keys, as arguments of an experiment."""
        return {**self.addresses, "identity": self.directory / "researcher"}

    def add(self, node: str, data: Path, tags: str) -> None:
        """Starts a node that runs any plan on a file."""
        self.start(node, {tags: data})

    def start(self, node: str, datasets: dict[str, Path]) -> None:
        """Starts a node that runs any plan on files, each called by its tag."""
        home = self.directory / node
        mqtt, repository = self.addresses.values()
        run("node", "init", home, "--id", node, "--approve", "any", "--mqtt", mqtt, "--repository", repository)
        for tag, path in datasets.items():
            run("node", "dataset", "add", home, "--name", tag, "--path", path, "--tags", tag)
        self.nodes[node] = Server("node", "start", home, log=self.directory / f"{node}.log")

    def stop(self, node: str) -> None:
        """Ends a node."""
        self.nodes.pop(node).stop()

    def close(self) -> None:
        """Ends all."""
        for server in [*self.nodes.values(), self.served]:
            server.stop()


@contextmanager
def served(directory: Path) -> Iterator[Federation]:
    """A federation without nodes, which is ended whatever happens."""
    federation = Federation(directory)
    try:
        yield federation
    finally:
        federation.close()


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Two nodes, each with half of the breast cancer data."""
    with served(tmp_path) as federation:
        lines = (DATA / "breast_cancer.csv").read_text().splitlines()
        for nth, node in enumerate(["site-1", "site-2"]):
            part = tmp_path / f"{node}.csv"
            part.write_text("\n".join([lines[0], *lines[1 + nth :: 2]]) + "\n")
            federation.add(node, part, "cancer")
        yield federation


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three nodes with parts of tables and images, which differ from site to site."""
    with served(tmp_path_factory.mktemp("sites")) as federation:
        for nth, site in enumerate(("site-1", "site-2", "site-3")):
            federation.start(site, site_data.of_site(federation.directory, site, nth))
        yield federation


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> site_data.Files:
    """The same tables and images whole, and what no site has."""
    return site_data.Files(tmp_path_factory.mktemp("data"))
