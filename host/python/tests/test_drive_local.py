"""Local jobs: the same bytes as `fedwasm local`, data of Python, interrupts, errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy
import pytest
from conftest import DATA, PLANS, run

import fedwasm as fw

PLAN = PLANS / "logistic-regression.wasm"
CANCER = DATA / "breast_cancer.csv"
TRAINING = {"epochs": 3, "test_ratio": 0.2, "random_seed": 42}


def job(data=CANCER, **options):
    options = {"target": "benign", "training_args": TRAINING, "progress": False, **options}
    return fw.LocalJob(PLAN, data, **options)


def test_import_takes_no_time_and_imports_neither_numpy_nor_ipython():
    code = (
        "import sys, time; start = time.perf_counter(); import fedwasm; "
        "print(time.perf_counter() - start, 'numpy' in sys.modules, 'IPython' in sys.modules)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(5)]
    seconds = [float(run.stdout.split()[0]) for run in runs]
    assert all(run.stdout.split()[1:] == ["False", "False"] for run in runs)
    # The quickest: others share the machine.
    assert min(seconds) < 0.1, seconds


def test_equals_the_command_line(tmp_path: Path):
    args = tmp_path / "args.toml"
    args.write_text('[data]\ntarget = "benign"\n[training]\nepochs = 3\ntest_ratio = 0.2\nrandom_seed = 42\n')
    told = run("--json", "local", "--plan", str(PLAN), "--data", str(CANCER), "--args", str(args))
    expected = json.loads(told.splitlines()[-1])
    result = job().start_training()
    assert result.params_sha256 == expected["params_sha256"]
    assert result.metrics == expected["metrics"]


def test_parameters_are_arrays_without_a_copy_and_read_only():
    trained = job()
    trained.start_training()
    params = trained.params()
    assert {name: array.shape for name, array in params.items()} == {
        "linear.weight": (2, 30),
        "linear.bias": (2,),
    }
    weight = params["linear.weight"]
    address = weight.__array_interface__["data"][0]
    assert trained.params()["linear.weight"].__array_interface__["data"][0] == address
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 1.0
    # The array keeps its memory.
    kept = weight.copy()
    del trained, params
    assert numpy.array_equal(weight, kept)


def test_arrays_and_data_frames_give_the_bytes_of_the_file():
    pandas = pytest.importorskip("pandas")
    expected = job().start_training().params_sha256
    frame = pandas.read_csv(CANCER)
    assert job(frame).start_training().params_sha256 == expected
    inputs = frame.drop(columns="benign").to_numpy(dtype="float32")
    target = frame["benign"].to_numpy(dtype="int64")
    of_arrays = fw.LocalJob(PLAN, (inputs, target), training_args=TRAINING, progress=False).start_training()
    assert of_arrays.params["linear.weight"].shape == (2, 30)
    assert of_arrays.metrics["accuracy"] > 0.9


def test_parameters_travel_through_files_and_dicts(tmp_path: Path):
    trained = job()
    result = trained.start_training()
    for name in ("params.safetensors", "params.mpk"):
        trained.export_model(tmp_path / name)
        again = job(params=tmp_path / name, training_args={**TRAINING, "epochs": 1}).start_training()
        of_dict = job(params=result.params, training_args={**TRAINING, "epochs": 1}).start_training()
        assert again.params_sha256 == of_dict.params_sha256 != result.params_sha256
    # The job brings the scales of its inputs along; without them scores are worse.
    options = {"target": "benign", "model_args": {"n_classes": 2}}
    scaled = fw.evaluate(PLAN, trained, CANCER, **options)
    assert scaled == fw.evaluate(PLAN, result.params, CANCER, preprocessing=result, **options)
    unscaled = fw.evaluate(PLAN, result.params, CANCER, **options)
    assert scaled["accuracy"] > 0.9 > unscaled["accuracy"]


def test_mistakes_have_the_words_of_the_command_line(tmp_path: Path):
    with pytest.raises(fw.ConfigurationError) as caught:
        job(training_args={"epoch": 1, "test_ratio": 3})
    text = str(caught.value)
    assert "`training.epoch` is unknown; did you mean `epochs`?" in text
    assert "`training.test_ratio` is 3, expected 0 <= test_ratio < 1" in text
    with pytest.raises(fw.ConfigurationError, match="no column `benin`; did you mean `benign`"):
        job(target="benin").start_training()
    with pytest.raises(fw.ConfigurationError, match="`training.epochs` is of the type object"):
        job(training_args={"epochs": object()})
    with pytest.raises(fw.ConfigurationError):
        fw.LocalJob(tmp_path / "absent.wasm", CANCER)
    with pytest.raises(fw.PlanRefused) as refused:
        fw.LocalJob(b"\0asm\x0d\0\x01\0", CANCER)
    assert refused.value.code == 3
    with pytest.raises(fw.ConfigurationError, match="unknown"):
        job(model_args={"hiden": 3}).start_training()


def test_numbers_of_numpy_and_paths_are_values():
    training = {"epochs": numpy.int64(3), "test_ratio": numpy.float32(0.25), "random_seed": numpy.uint8(7)}
    result = job(training_args=training).start_training()
    assert result.history.record["random_seed"] == 7


def interrupted_after(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_an_interrupt_keeps_what_was_reached(tmp_path: Path):
    out = tmp_path / "run"
    long = job(training_args={**TRAINING, "epochs": 2_000_000}, out=out)
    timer = interrupted_after(3.0)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        long.start_training()
    timer.join()
    assert time.monotonic() - start < 60
    result = long.result
    assert result is not None and 0 < result.batches < result.batches_max
    assert result.metrics["accuracy"] > 0.9
    assert fw.History.load(out).status.startswith("stopped")


def test_other_threads_run_while_rust_works():
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.wait(0.01):
            ticks.append(None)

    thread = threading.Thread(target=tick)
    thread.start()
    job(training_args={**TRAINING, "epochs": 300}).start_training()
    stop.set()
    thread.join()
    assert len(ticks) > 5


def test_results_show_themselves_and_escape_what_strangers_wrote(tmp_path: Path):
    evil = "<script>alert(1)</script>"
    table = tmp_path / "evil.csv"
    table.write_text(CANCER.read_text().replace("mean_radius", evil, 1))
    trained = job(table)
    trained.start_training()
    assert "<svg" in trained._repr_html_() and "<table" in trained._repr_html_()
    rows = [{"node": evil, "reason": "\u202eabc"}]
    from fedwasm import _html
    from fedwasm.progress import Progress

    for html in (_html.table(rows), _html.pairs({evil: evil})):
        assert "<script" not in html and "&lt;script&gt;" in html and "\u202e" not in html
    progress = Progress(evil)
    progress.is_notebook, progress._panel = True, lambda: None
    progress(json.dumps({"event": "warning", "message": evil}))
    progress(json.dumps({"event": "progress", "node": evil, "round": 1, "step": 1, "steps_max": 2, "loss": 0.5}))
    for point in ((1, 0.5), (2, 0.25)):
        progress(json.dumps({"event": "step", "step": point[0], "steps_max": 2, "loss": point[1]}))
    assert "<script" not in progress.html() and "<svg" in progress.html()
