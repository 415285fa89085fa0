"""Learning rates of torch.optim.lr_scheduler, for host/record/src/schedule.rs.

Run: python3 tests/oracles/lr_schedules_torch.py > tests/data/lr_schedules.json
Written with PyTorch 2.x, CPU; the rates are Python floats (float64).
"""

import json

import torch
from torch.optim import lr_scheduler as s

CASES = [
    ("step", 0.1, "step_size = 3\ngamma = 0.5", lambda o: s.StepLR(o, 3, 0.5)),
    ("step", 0.05, "step_size = 1\ngamma = 0.9", lambda o: s.StepLR(o, 1, 0.9)),
    ("multi_step", 0.2, "milestones = [2, 5, 17]\ngamma = 0.1", lambda o: s.MultiStepLR(o, [2, 5, 17], 0.1)),
    ("exponential", 0.3, "gamma = 0.97", lambda o: s.ExponentialLR(o, 0.97)),
    ("exponential", 0.001, "gamma = 1.1", lambda o: s.ExponentialLR(o, 1.1)),
    ("cosine", 0.1, "rounds = 30", lambda o: s.CosineAnnealingLR(o, 30)),
    ("cosine", 0.1, "rounds = 7\nlr_min = 0.003", lambda o: s.CosineAnnealingLR(o, 7, 0.003)),
    ("linear", 0.4, "rounds = 5", lambda o: s.LinearLR(o)),
    ("linear", 0.4, "rounds = 12\nstart = 1.0\nend = 0.05", lambda o: s.LinearLR(o, 1.0, 0.05, 12)),
]

out = []
for name, lr, rest, make in CASES:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(30):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    out.append({"name": name, "lr": lr, "schedule": f'name = "{name}"\n{rest}', "rates": rates})
print(json.dumps(out, indent=1))
