"""How updates become one model: the host's methods, and ``Aggregator`` for one's own."""

from __future__ import annotations

from typing import Any

from ._own import Update as Update, Updates as Updates


class Aggregator:
    """The base of an aggregator of one's own. Histories and breakpoints have its ``name``, which
    should change with the method and its settings."""

    name: str | None = None

    def aggregate(self, updates: Updates) -> dict[str, Any]:
        """Returns the parameters after the round: arrays by name, with the shapes of
        ``updates.start``. ``updates.mean()`` is the mean weighted by rows."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What a breakpoint must hold to resume: arrays by name."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a result of ``state``."""


class Method:
    """A method of the host and its settings."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.arguments = {"name": name, **settings}

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"Method({settings})"


def FedAverage() -> Method:
    """The mean weighted by rows (McMahan et al. 2017)."""
    return Method("fedavg")


def FedProx(mu: float) -> Method:
    """The mean; nodes add mu/2 |w - w0|^2 to their loss (Li et al. 2020)."""
    return Method("fedprox", mu=mu)


def Scaffold(server_lr: float = 1.0) -> Method:
    """Control variates against the drift of nodes (Karimireddy et al. 2020)."""
    return Method("scaffold", server_lr=server_lr)


def FedAvgM(lr: float = 1.0, momentum: float = 0.9) -> Method:
    """Momentum at the researcher (Hsu et al. 2019)."""
    return Method("fedavgm", lr=lr, momentum=momentum)


def FedAdagrad(lr: float = 0.1, beta_1: float = 0.0, tau: float = 1e-3) -> Method:
    """Adagrad at the researcher (Reddi et al. 2021)."""
    return Method("fedadagrad", lr=lr, beta_1=beta_1, tau=tau)


def FedAdam(lr: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.99, tau: float = 1e-3) -> Method:
    """Adam at the researcher (Reddi et al. 2021)."""
    return Method("fedadam", lr=lr, beta_1=beta_1, beta_2=beta_2, tau=tau)


def FedYogi(lr: float = 0.01, beta_1: float = 0.9, beta_2: float = 0.99, tau: float = 1e-3) -> Method:
    """Yogi at the researcher (Reddi et al. 2021)."""
    return Method("fedyogi", lr=lr, beta_1=beta_1, beta_2=beta_2, tau=tau)


def Median() -> Method:
    """The median of each coordinate (Yin et al. 2018)."""
    return Method("median")


def TrimmedMean(beta: float = 0.2) -> Method:
    """The mean of each coordinate without its extremes (Yin et al. 2018)."""
    return Method("trimmed_mean", beta=beta)


def Krum(f: int) -> Method:
    """The update nearest to the others (Blanchard et al. 2017)."""
    return Method("krum", f=f)


def MultiKrum(f: int, m: int) -> Method:
    """The mean of the m updates nearest to the others (Blanchard et al. 2017)."""
    return Method("multi_krum", f=f, m=m)


def Bulyan(f: int) -> Method:
    """Krum again and again, then a trimmed mean (El Mhamdi et al. 2018)."""
    return Method("bulyan", f=f)


def NormBound(bound: float) -> Method:
    """The mean of updates whose distance is bounded (Sun et al. 2019)."""
    return Method("norm_bound", bound=bound)
