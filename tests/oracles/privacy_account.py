"""Epsilons as Opacus and dp-accounting compute them, for tests of host/privacy.

    python -m venv v && v/bin/pip install numpy scipy dp-accounting && v/bin/pip install --no-deps opacus
    v/bin/python tests/oracles/privacy_account.py

Writes tests/data/privacy_account.json. The file in the tree comes from opacus 1.6.0 and dp-accounting
0.6.0 on numpy 2.4.6, scipy 1.17.1 and Python 3.11. Of opacus only the module of its accountant is loaded, which
needs no torch.

`opacus` and `google` are over the orders of Opacus. The two differ at fractional orders, where
dp-accounting adds terms whose sign alternates (an upper bound) and gives up after 1,000 of them; so
`google_whole` is over whole orders alone.
"""
import importlib.util
import json
import logging
import math
import pathlib
import random
import warnings

import dp_accounting
from dp_accounting.rdp import rdp_privacy_accountant as google

TARGET = pathlib.Path(__file__).parent.parent / "data/privacy_account.json"
ORDERS = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))
# As their values are in Rust: tenths that are whole numbers count as such.
ORDERS = [round(order, 1) for order in ORDERS]
WHOLE = [order for order in ORDERS if order == int(order)]

logging.disable()
warnings.simplefilter("ignore")
place = importlib.util.find_spec("opacus").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("rdp", f"{place}/accountants/analysis/rdp.py")
opacus = importlib.util.module_from_spec(spec)
spec.loader.exec_module(opacus)


def by_google(q, z, steps, delta, orders):
    accountant = google.RdpAccountant(orders)
    event = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(z))
    return accountant.compose(event, steps).get_epsilon(delta)


def setting(q, z, steps, delta):
    rdp = opacus.compute_rdp(q=q, noise_multiplier=z, steps=steps, orders=ORDERS)
    epsilon, order = opacus.get_privacy_spent(orders=ORDERS, rdp=rdp, delta=delta)
    row = {"q": q, "z": z, "steps": steps, "delta": delta}
    row |= {"opacus": float(epsilon), "order": float(order)}
    row |= {"google": by_google(q, z, steps, delta, ORDERS)}
    row |= {"google_whole": by_google(q, z, steps, delta, WHOLE)}
    if q == 1:
        row["gaussian"] = dp_accounting.get_epsilon_gaussian(z / math.sqrt(steps), delta)
    return row


settings = [
    (1.0, 1.0, 1, 1e-5),
    (1.0, 2.0, 10, 1e-5),
    (1.0, 4.0, 100, 1e-5),
    (0.01, 1.0, 1000, 1e-5),
    (0.04, 1.5, 2250, 1e-5),
    (256 / 60000, 1.1, 14062, 1e-5),
]
draw = random.Random(20261128)
while len(settings) < 56:
    q = 1.0 if draw.random() < 0.2 else round(10 ** draw.uniform(-3, -0.2), 6)
    z = round(10 ** draw.uniform(-0.3, 1.0), 4)
    steps = int(10 ** draw.uniform(0, 4))
    delta = 10.0 ** -draw.randint(3, 8)
    # Far from what anybody would accept, orders end and nothing is compared.
    if 0.01 < setting(q, z, steps, delta)["opacus"] < 200:
        settings.append((q, z, steps, delta))

gaussian = [
    {"epsilon": e, "delta": d, "z": dp_accounting.get_sigma_gaussian(e, d)}
    for e in (0.1, 0.5, 1.0, 3.0, 10.0)
    for d in (1e-3, 1e-5, 1e-8)
]
table = {"settings": [setting(*one) for one in settings], "gaussian": gaussian}
lines = [",\n".join("  " + json.dumps(row) for row in rows) for rows in table.values()]
text = ",\n".join(f' "{name}": [\n{rows}\n ]' for name, rows in zip(table, lines))
TARGET.write_text("{\n" + text + "\n}\n")
