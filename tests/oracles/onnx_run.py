"""Models as ONNX, run by onnxruntime, against `fedwasm predict --scores`.

    PYTHONPATH=host/python python -B tests/oracles/onnx_run.py [--write]

Needs onnx, onnxruntime, numpy and the package fedwasm. Trains small plans for a moment (shipped ones,
and traced ones that call what the exporter covers), exports each, checks the file with onnx.checker and
runs it on the rows of the data. Ends with an error unless all scores agree within 1e-5. With --write the
small files of tests/data/onnx are written anew, which `it onnx::` compares byte by byte.
"""

import csv
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]

import fedwasm as fw  # noqa: E402
from fedwasm import losses, nn  # noqa: E402
from fedwasm._program import program  # noqa: E402

TOLERANCE = 1e-5
ROWS = 40
TRAINING = {"epochs": 1, "random_seed": 1, "test_ratio": 0.2, "loader_args": {"batch_size": 16}}


class Classifier(fw.Plan):
    optimizer = fw.optim.Adam(lr=0.002)

    def training_step(self, batch):
        return losses.cross_entropy(self.predict(batch), batch.targets)


class Functions(Classifier):
    """Functions of elements, reductions and what moves elements."""

    def model(self):
        return nn.Linear(self.n_features, 12)

    def predict(self, batch):
        x = self.net(batch.inputs)
        y = fw.sigmoid(x) * fw.tanh(x) + fw.F.gelu(x) - fw.F.gelu(x, approximate="tanh") + fw.F.silu(x) / 2
        y = y + fw.F.elu(x) + fw.F.leaky_relu(x, 0.2) + fw.F.softplus(x) + fw.exp(-x.abs()) + fw.sqrt(x.square() + 1)
        y = fw.where(x > 0.1, y, 1 - y) + fw.clamp(x, -0.5, 0.5) + fw.maximum(x, y) * 0.1
        z = y.reshape(-1, 3, 4).transpose(1, 2).flatten(1)
        z = fw.cat([z, x.softmax(1), x.log_softmax(1)], 1)
        z = z - z.mean(1, keepdim=True) + x.sum(1, keepdim=True) * 0.1 + x.logsumexp(1).unsqueeze(1)
        parts = z.split([6, 30], 1)
        return parts[0][:, :2] + parts[1][:, 3:5] + fw.stack([x[:, 0], x[:, 1]], 1)


class Norms(Classifier):
    """Normalisations of rows, channels and groups."""

    def model(self):
        return nn.Sequential(
            nn.Linear(self.n_features, 24),
            nn.BatchNorm1d(24),
            nn.LayerNorm(24),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(24, 2),
        )


class Images(Classifier):
    """Convolutions, pooling, resampling, and norms of channels."""

    sample = {"n_features": 64, "n_classes": 10}
    size: int = 8

    def model(self):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, stride=1, padding=1, groups=2),
            nn.GroupNorm(2, 8),
            nn.SiLU(),
            nn.ConvTranspose2d(8, 4, 2, stride=2),
            nn.InstanceNorm2d(4, affine=True),
            nn.AvgPool2d(2, padding=1),
            nn.Upsample(scale_factor=2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 10),
        )

    def predict(self, batch):
        return self.net(batch.inputs.reshape(-1, 1, self.size, self.size))


class Sequences(Classifier):
    """Recurrent modules."""

    sample = {"n_features": 64, "n_classes": 10}
    steps: int = 8

    def model(self):
        width = self.n_features // self.steps
        return nn.ModuleDict(
            {
                "lstm": nn.LSTM(width, 5, num_layers=2, bidirectional=True, batch_first=True),
                "gru": nn.GRU(10, 6, batch_first=True),
                "rnn": nn.RNN(6, 4, batch_first=True),
                "output": nn.Linear(4, 10),
            }
        )

    def predict(self, batch):
        x = batch.inputs.reshape(-1, self.steps, self.n_features // self.steps)
        x, _ = self.net["lstm"](x)
        x, _ = self.net["gru"](x)
        x, _ = self.net["rnn"](x)
        return self.net["output"](x[:, -1])


SHIPPED = ROOT / "plugins/dist"
CANCER, DIGITS = ROOT / "examples/data/breast_cancer.csv", ROOT / "examples/data/digits.csv"
# Name: plan, data, target, standardize, written to tests/data/onnx.
MODELS = {
    "logistic-regression": (SHIPPED / "logistic-regression.wasm", CANCER, "benign", True, True),
    "linear-regression": (SHIPPED / "linear-regression.wasm", CANCER, "mean_radius", True, True),
    "mlp": (SHIPPED / "mlp.wasm", CANCER, "benign", False, False),
    "functions": (Functions, CANCER, "benign", True, False),
    "norms": (Norms, CANCER, "benign", True, False),
    "images": (Images, DIGITS, "digit", False, False),
    "sequences": (Sequences, DIGITS, "digit", False, False),
}


def table(path: pathlib.Path, n: int) -> tuple[list[str], np.ndarray]:
    with open(path, encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows[0], np.array(rows[1 : 1 + n], dtype=np.float64)


def check(name: str, folder: pathlib.Path) -> bytes:
    plan, data, target, standardize, _ = MODELS[name]
    names, rows = table(data, ROWS)
    head = folder / f"{name}.csv"
    head.write_text("\n".join(data.read_text().splitlines()[: 1 + ROWS]) + "\n")
    out = folder / name
    fw.LocalJob(
        plan,
        data,
        target=target,
        training_args=TRAINING,
        data_args={"standardize": standardize},
        out=out,
        progress=False,
    ).start_training()
    run = [program(), "model", "export", out, "--onnx", folder / f"{name}.onnx"]
    subprocess.run(run, check=True, capture_output=True)
    scores = folder / f"{name}-scores.csv"
    run = [program(), "predict", out, "--data", head, "--scores", "--out", scores]
    subprocess.run(run, check=True, capture_output=True)
    said_names, said = table(scores, ROWS)
    columns = [at for at, column in enumerate(said_names) if column.startswith("score_")]
    said = said[:, columns] if columns else said[:, [said_names.index("predicted")]]

    path = folder / f"{name}.onnx"
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = fw.Model(out).inputs
    x = rows[:, [names.index(column) for column in inputs]]
    x = x.astype({"tensor(double)": np.float64, "tensor(float)": np.float32}[session.get_inputs()[0].type])
    (got,) = session.run(["scores"], {session.get_inputs()[0].name: x})
    worst = np.abs(got - said).max()
    print(f"{name:<20} {worst:.1e}  {path.stat().st_size} bytes, scores up to {np.abs(said).max():.2f}")
    assert got.shape == said.shape and worst < TOLERANCE, (name, got.shape, said.shape)
    return path.read_bytes()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (*_, written) in MODELS.items():
            onnx_file = check(name, pathlib.Path(folder))
            if written and "--write" in sys.argv:
                path = ROOT / "tests/data/onnx" / f"{name}.onnx"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(onnx_file)


if __name__ == "__main__":
    main()
