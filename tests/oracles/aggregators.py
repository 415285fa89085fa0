"""Rounds of aggregation as flwr and declearn compute them, in float64.

    /tmp/v3/bin/python tests/oracles/aggregators.py    # an environment with flwr
    /tmp/v2/bin/python tests/oracles/aggregators.py    # one with declearn and scikit-learn

Each run writes the part of the package it finds into
tests/data/aggregators.json and keeps the other part. The file in the tree
comes from flwr 1.41.0 and declearn 2.8.0, both on numpy 2.4.6.

`updates` are the trained parameters of up to nine nodes in four rounds; nodes
2 and 5 are far off. Both packages compute in the arrays' own type, so they
get float64 throughout; tensors declared float32 are rounded to it between
rounds, as a host would store them. The values that go in are multiples of
2^-16, exact in both types.
"""
import importlib.util
import json
import logging
import pathlib
import warnings

import numpy as np

TARGET = pathlib.Path(__file__).parent.parent / "data/aggregators.json"
TENSORS = [
    {"name": "linear.weight", "dtype": "float32", "shape": [2, 3]},
    {"name": "linear.bias", "dtype": "float64", "shape": [3]},
]
ROUNDS, NODES, FAR_OFF = 4, 9, (2, 5)

rng = np.random.RandomState(20261122)


def exact(array):
    return np.round(array * 65536) / 65536


def normal(scale):
    return [exact(rng.normal(0, scale, tensor["shape"])) for tensor in TENSORS]


start = normal(1.0)
# Nodes drift away from the start along a common direction, each with noise.
drift = normal(0.5)
updates = [
    [
        {
            "n_samples": int(rng.randint(5, 200)),
            "values": [
                exact(s + (r + 1) * d + noise)
                for s, d, noise in zip(start, drift, normal(8.0 if k in FAR_OFF else 0.3))
            ],
        }
        for k in range(NODES)
    ]
    for r in range(ROUNDS)
]


def stored(arrays):
    """Rounds each array to its tensor's type."""
    return [
        np.asarray(a).astype(t["dtype"]).astype("float64").reshape(t["shape"])
        for a, t in zip(arrays, TENSORS)
    ]


def listed(arrays):
    return [np.asarray(array, dtype="float64").ravel().tolist() for array in arrays]


def flwr_part():
    import flwr
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp import strategy as s
    from flwr.serverapp.strategy.multikrum import select_multikrum
    from flwr.supercore.task_identity import TaskIdentity

    # Messages carry the identity of the process that makes them.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    logging.getLogger("flwr").setLevel(logging.ERROR)

    class Grid:
        """As much of a grid as `configure_train` asks for."""

        def __init__(self, n_nodes):
            self.n_nodes = n_nodes

        def get_node_ids(self):
            return list(range(1, self.n_nodes + 1))

    def record(arrays):
        return ArrayRecord({t["name"]: Array(np.asarray(a)) for t, a in zip(TENSORS, arrays)})

    def rounds(strategy, n_nodes):
        arrays, expected = start, []
        for r in range(ROUNDS):
            if isinstance(strategy, s.FedAvgM):
                strategy.current_arrays = None  # It would go on from what it has not rounded.
            asked = strategy.configure_train(r + 1, record(arrays), ConfigRecord(), Grid(n_nodes))
            replies = []
            for message, update in zip(asked, updates[r][:n_nodes]):
                metrics = MetricRecord({"num-examples": update["n_samples"]})
                content = RecordDict({"arrays": record(update["values"]), "metrics": metrics})
                replies.append(Message(content, reply_to=message))
            assert len(replies) == n_nodes
            result, _ = strategy.aggregate_train(r + 1, replies)
            assert [t["name"] for t in TENSORS] == list(result.keys())
            expected.append(listed(result.to_numpy_ndarrays()))
            arrays = stored(result.to_numpy_ndarrays())
        return {"n_nodes": n_nodes, "expected": expected}

    def adagrad_with_momentum():
        strategy = s.FedAdagrad(eta=0.1, tau=1e-3)
        strategy.beta_1 = 0.9  # The class fixes it to 0; its base class does use it.
        return strategy

    def repeated_krum(contents, n_malicious, n_selected):
        """Bulyan's own paper: one Krum selection after another.

        With one neighbour the two updates nearest to each other have the same
        score, in whatever order flwr ranks them: the first node is taken.
        """
        left, chosen = list(enumerate(contents)), []
        for _ in range(n_selected):
            ranked = select_multikrum([content for _, content in left], n_malicious, len(left))
            best = ranked[:2] if len(left) - n_malicious - 2 <= 1 else ranked[:1]
            taken = next(pair for pair in left if any(pair[1] is content for content in best))
            chosen.append(taken[1])
            left = [pair for pair in left if pair is not taken]
        return chosen

    def bulyan(**settings):
        return s.Bulyan(selection_rule=repeated_krum, **settings)

    def bounded(n_nodes):
        return s.DifferentialPrivacyServerSideFixedClipping(s.FedAvg(), 0.0, 1.5, n_nodes)

    moments = {"beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}
    return {
        "version": flwr.__version__,
        "fedavg": rounds(s.FedAvg(), 7),
        "fedprox": rounds(s.FedProx(proximal_mu=0.1), 7),
        "fedavgm": rounds(s.FedAvgM(server_learning_rate=0.7, server_momentum=0.9), 7),
        "fedadagrad": rounds(s.FedAdagrad(eta=0.1, tau=1e-3), 7),
        "fedadagrad_beta": rounds(adagrad_with_momentum(), 7),
        "fedadam": rounds(s.FedAdam(eta=0.1, **moments), 7),
        "fedyogi": rounds(s.FedYogi(eta=0.05, **moments), 7),
        "median_odd": rounds(s.FedMedian(), 7),
        "median_even": rounds(s.FedMedian(), 6),
        "trimmed_mean": rounds(s.FedTrimmedAvg(beta=0.3), 9),
        "trimmed_mean_0": rounds(s.FedTrimmedAvg(beta=0.1), 5),
        "krum": rounds(s.Krum(num_malicious_nodes=2), 7),
        "multi_krum": rounds(s.MultiKrum(num_malicious_nodes=2, num_nodes_to_select=4), 9),
        "bulyan_1": rounds(bulyan(num_malicious_nodes=1), 8),
        "bulyan_1_odd": rounds(bulyan(num_malicious_nodes=1), 7),
        "norm_bound": rounds(bounded(7), 7),
    }


def declearn_part():
    import declearn
    from declearn.aggregator import AveragingAggregator
    from declearn.model.sklearn import NumpyVector
    from declearn.optimizer import Optimizer

    def vector(arrays):
        return NumpyVector({t["name"]: np.array(a) for t, a in zip(TENSORS, arrays)})

    def values(vector):
        return listed(vector.coefs[t["name"]] for t in TENSORS)

    def optimizer(module, lr, **settings):
        """One node, its update in each round seen from `start`."""
        made = Optimizer(lrate=lr, modules=[(module, settings)])
        rows = []
        for r in range(ROUNDS):
            gradient = vector(s - v for s, v in zip(start, updates[r][0]["values"]))
            step = made.compute_updates_from_gradients(None, gradient)
            (state,) = (m.get_state() for m in made.modules)
            row = {"result": values(vector(start) + step)}
            if "momentum" in state:
                row["m"] = values(state["momentum"]["state"])
                row["v"] = values(state["velocity"]["state"])
            rows.append(row)
        return rows

    def scaffold():
        """Quadratic losses `curvature / 2 * (y - optimum)^2`, one for each node."""
        lr, server_lr = 0.05, 0.6
        n_steps = [4, 7, 3, 5]
        curvature = [normal(1.0) for _ in n_steps]
        curvature = [[np.abs(a) + 0.25 for a in arrays] for arrays in curvature]
        optimum = [normal(2.0) for _ in n_steps]
        nodes = [Optimizer(lrate=lr, modules=["scaffold-client"]) for _ in n_steps]
        server = Optimizer(lrate=server_lr, modules=["scaffold-server"])
        mean = AveragingAggregator(steps_weighted=False)
        x, rows = start, []
        for members in ([0, 1, 2], [0, 2], [1, 2, 3]):
            sent = server.collect_aux_var()
            aux, models, shares = None, {}, None
            for k in members:
                nodes[k].process_aux_var(sent)
                y = vector(x)
                for _ in range(n_steps[k]):
                    away = y - vector(optimum[k])
                    y = y + nodes[k].compute_updates_from_gradients(None, vector(curvature[k]) * away)
                own = nodes[k].collect_aux_var()["scaffold"]
                aux = own if aux is None else aux + own
                share = mean.prepare_for_sharing(vector(x) - y, n_steps[k])
                shares = share if shares is None else shares + share
                models[f"node-{k}"] = y
            server.process_aux_var({"scaffold": aux})
            step = server.compute_updates_from_gradients(None, mean.finalize_updates(shares))
            result = vector(x) + step
            rows.append({
                "updates": {name: values(y) for name, y in models.items()},
                "expected": values(result),
                "local": {f"node-{k}": values(nodes[k].modules[0].state) for k in members},
                "global": values(server.collect_aux_var()["scaffold"].state),
            })
            x = stored(result.coefs[t["name"]] for t in TENSORS)
        return {"server_lr": server_lr, "rounds": rows}

    return {
        "version": declearn.__version__,
        "momentum": optimizer("momentum", 0.7, beta=0.9),
        "adagrad": optimizer("adagrad", 0.1, eps=1e-3),
        "adam": optimizer("adam", 0.1, beta_1=0.9, beta_2=0.99, eps=1e-3),
        "yogi": optimizer("yogi", 0.1, beta_1=0.9, beta_2=0.99, eps=1e-3),
        "scaffold": scaffold(),
    }


# The numbers of Fed-BioMed's own tests of FedAverage, Scaffold and optimizers.
FEDBIOMED = {
    "fedavg": {
        "coef": [[3, 8, 8, 3, 1], [0.4, 1.6, 2, 1, 0.1], [2, 5, 5, 3, 1]],
        "intercept": [4, 1, 6],
        "weights": [0.2, 0.2, 0.6],
        "expected_coef": [1.88, 4.92, 5, 2.6, 0.82],
        "expected_intercept": 4.6,
    },
    "scaffold": {"n_updates": 4, "server_lr": 0.2},
    "optimizer": {"lr": 0.12345},
}

document = json.loads(TARGET.read_text()) if TARGET.exists() else {}
document |= {
    "numpy": np.__version__,
    "tensors": TENSORS,
    "start": listed(start),
    "updates": [
        [{"n_samples": u["n_samples"], "values": listed(u["values"])} for u in row] for row in updates
    ],
    "fedbiomed": FEDBIOMED,
}
warnings.simplefilter("ignore")
made = []
for package, part in (("flwr", flwr_part), ("declearn", declearn_part)):
    if importlib.util.find_spec(package) is not None:
        document[package] = part()
        made.append(package)
if not made:
    raise SystemExit("neither flwr nor declearn can be imported")
lines = [f" {json.dumps(key)}: {json.dumps(document[key])}" for key in sorted(document)]
TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(TARGET, "with", " and ".join(made))
