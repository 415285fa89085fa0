"""Reads what an experiment left for TensorBoard with TensorBoard's own reader.

    python tests/oracles/tensorboard_read.py OUT/tensorboard

Prints a JSON object: run (the node), tag, then step and value of each scalar.
Needs tensorboard.
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_dir():
    sys.exit(__doc__)
root = pathlib.Path(sys.argv[1])
runs = {}
for directory in sorted({path.parent for path in root.rglob("*tfevents*")}):
    # 0: all of them, where the default is a sample of 10,000 a tag.
    run = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    runs[str(directory.relative_to(root))] = {
        tag: [{"step": scalar.step, "value": scalar.value} for scalar in run.Scalars(tag)]
        for tag in sorted(run.Tags()["scalars"])
    }
print(json.dumps(runs, indent=1))
