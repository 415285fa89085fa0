"""Secure aggregation as it is written down, computed a second time: keys, masks, quantised vectors, sums.

    python -m venv v && v/bin/pip install cryptography
    v/bin/python tests/oracles/secure_sum.py

Writes tests/data/secure_sum.json, which the tests of host/privacy compare bit for bit. The file in the tree comes
from cryptography 50.0.2 on Python 3.11. X25519, HMAC and ChaCha20 are OpenSSL's; numbers are Python's own.
"""
import hashlib
import hmac
import json
import pathlib
import random
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TARGET = pathlib.Path(__file__).parent.parent / "data/secure_sum.json"
NODES = ["hospital-a", "hospital-b", "hospital-c", "lab_1"]
STREAMS = {"params": 0, "counts": 2}
CLIP, BITS, WEIGHT_MAX, COUNT_MAX, PARTIES_MAX = 2.5, 24, 100_000, 1 << 20, 64


def sha(data):
    return hashlib.sha256(data).digest()


def named(*what):
    return sha("/".join(map(str, what)).encode())


def lp(text):
    return struct.pack(">H", len(text)) + text.encode()


def extract(salt, secret):
    return hmac.digest(salt, secret, "sha256")


def expand(prk, info):
    return hmac.digest(prk, info + b"\x01", "sha256")


def lanes(key, n, width):
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
    data = stream.update(bytes(n * width))
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]


def known_answer():
    """The one of the design: two nodes, without arguments and layout."""
    info = b"fedwasm/lom/v1" + lp("NODE_a") + lp("NODE_b") + struct.pack(">QB", 1, 0)
    info += sha(b"plan") + sha(b"params") + sha(lp("NODE_a") + lp("NODE_b"))
    key = expand(extract(bytes(range(0x40, 0x60)), bytes(range(32))), info)
    assert sha(info).hex() == "db58854f786c9febe62ff2f30918d30e617f064afcf8bd6e276762fb64b454a0"
    assert key.hex() == "f7299e99cbb496c2a4bf3f71e5454c0a51987c852481e43a95f53bdf6966a296"
    expected = [0x495CBBC416D16A88, 0x91AC5576C930B1F0, 0x03BBB995BA2ECFA9, 0xFADCDE3FE9CB30B2]
    assert lanes(key, 4, 8) == expected


def meaning(*parts):
    return sha(b"".join(struct.pack(">Q", len(part)) + part for part in parts))


def quantiser_encoding(weight_max, parties_max):
    return b"fedwasm/quantise/v1" + struct.pack(">dIQIQ", CLIP, BITS, weight_max, parties_max, 0)


def quantise(values, weight):
    half = 2 ** (BITS - 1) - 1
    # Python's round goes to even, too.
    return [weight * (round(value / CLIP * half) + half) for value in values] + [weight, 1]


def mean(sums, n):
    half, (*values, weight, count) = 2 ** (BITS - 1) - 1, sums
    assert count == n
    return [(total - half * weight) / (half * float(weight)) * CLIP for total in values]


class Round:
    """One round, of 64-bit or 32-bit lanes."""

    def __init__(self, width, weight_max, parties_max):
        self.width, self.modulus = width, 2 ** (8 * width)
        self.id, self.roster = named("context", width), named("roster")
        self.plan, self.params, self.arguments = named("plan"), named("params"), named("arguments")
        draw = random.Random(width)
        self.values = {node: [draw.uniform(-CLIP, CLIP) for _ in range(700)] for node in NODES}
        for values in self.values.values():
            values[:6] = [0.0, -0.0, CLIP, -CLIP, CLIP / (2**BITS - 2), 1e-300]
        self.weights = {node: draw.randint(1, weight_max) for node in NODES}
        self.counts = {node: [draw.randint(0, COUNT_MAX) for _ in range(9)] for node in NODES}
        self.clear = {
            node: {
                "params": quantise(self.values[node], self.weights[node]),
                "counts": self.counts[node] + [1],
            }
            for node in NODES
        }
        coding = {
            "params": quantiser_encoding(weight_max, parties_max),
            "counts": b"fedwasm/counts/v1" + struct.pack(">QI", COUNT_MAX, parties_max),
        }
        layout = b"fedwasm/layout/v1" + struct.pack(">I", 8 * width)
        for stream, code in STREAMS.items():
            n = len(self.clear[NODES[0]][stream])
            layout += struct.pack(">BQ", code, n) + meaning(coding[stream], b"dense [700]")
        self.layout = sha(layout)
        self.keys = {node: X25519PrivateKey.from_private_bytes(named("key", node)) for node in NODES}
        self.seeds = {node: named("seed", node) for node in NODES}

    def pair_mask(self, one, other, stream, n):
        secret = self.keys[one].exchange(self.keys[other].public_key())
        low, high = sorted([one, other])
        info = b"fedwasm/lom/v1" + lp(low) + lp(high) + struct.pack(">QB", 3, STREAMS[stream])
        info += self.plan + self.params + sha(b"".join(map(lp, NODES))) + self.arguments + self.layout
        return lanes(expand(extract(self.id, secret), info), n, self.width)

    def own_mask(self, node, stream, n, setup):
        info = b"fedwasm/own-mask/v1" + lp(node) + bytes([STREAMS[stream]]) + setup
        return lanes(expand(extract(self.id, self.seeds[node]), info), n, self.width)

    def masked(self, node, setup=None):
        masked = {}
        for stream, clear in self.clear[node].items():
            total = list(clear)
            masks = [
                (1 if peer < node else -1, self.pair_mask(node, peer, stream, len(clear)))
                for peer in NODES
                if peer != node
            ]
            if setup:
                masks.append((1, self.own_mask(node, stream, len(clear), setup)))
            for sign, mask in masks:
                total = [(a + sign * b) % self.modulus for a, b in zip(total, mask)]
            masked[stream] = total
        return masked

    def sums(self, nodes):
        return {
            stream: [sum(lane) % self.modulus for lane in zip(*(self.clear[n][stream] for n in nodes))]
            for stream in STREAMS
        }

    def setup(self, threshold):
        parties = sha(b"".join(map(lp, NODES)))
        data = b"fedwasm/double-masking/v1" + self.id + self.roster + parties
        data += struct.pack(">IQ", threshold, 3)
        return sha(data + self.plan + self.params + self.arguments + self.layout)

    def written(self):
        masked = {node: self.masked(node) for node in NODES}
        for stream, sums in self.sums(NODES).items():
            columns = zip(*(masked[node][stream] for node in NODES))
            assert sums == [sum(lane) % self.modulus for lane in columns]
        setup = self.setup(3)
        first = {"params": masked[NODES[0]]["params"][:20], "counts": masked[NODES[0]]["counts"]}
        # A digest says as much as 700 lanes; some lanes say where they begin to differ.
        return {
            "values": self.values,
            "weights": self.weights,
            "counts": self.counts,
            "layout": self.layout.hex(),
            "first_masked": first,
            "masked": {node: self.digest(masked[node]) for node in NODES},
            "double_masked": {node: self.digest(self.masked(node, setup)) for node in NODES},
            "sums": self.sums(NODES),
            "mean": mean(self.sums(NODES)["params"], len(NODES)),
            "sums_without_last": self.sums(NODES[:-1]),
        }

    def digest(self, vectors):
        return {
            stream: sha(b"".join(lane.to_bytes(self.width, "little") for lane in vector)).hex()
            for stream, vector in vectors.items()
        }


def shares():
    """Shamir's shares in the field of AES, by tables of logarithms to the base 3."""
    exp, log, x = [0] * 510, [0] * 256, 1
    for i in range(255):
        exp[i] = exp[i + 255] = x
        log[x] = i
        x ^= (x << 1) ^ (0x11B if x & 0x80 else 0)

    def mul(a, b):
        return exp[log[a] + log[b]] if a and b else 0

    def at(polynomial, point):
        value = 0
        for coefficient in reversed(polynomial):
            value = mul(value, point) ^ coefficient
        return value

    secret, coefficients = named("secret"), [named("coefficient", k) for k in range(2)]
    rows = [bytes(at(p, point) for p in zip(secret, *coefficients)).hex() for point in range(1, 6)]
    return {"secret": secret.hex(), "coefficients": [c.hex() for c in coefficients], "shares": rows}


known_answer()
keys = {
    node: {
        "secret": named("key", node).hex(),
        "public": X25519PrivateKey.from_private_bytes(named("key", node))
        .public_key()
        .public_bytes(Encoding.Raw, PublicFormat.Raw)
        .hex(),
        "seed": named("seed", node).hex(),
    }
    for node in NODES
}
wide, narrow = Round(8, WEIGHT_MAX, PARTIES_MAX), Round(4, 8, 8)
table = {"keys": keys, "wide": wide.written(), "narrow": narrow.written(), "shamir": shares()}
TARGET.write_text(json.dumps(table, indent=0, separators=(",", ":")).replace(",\n", ", ").replace("\n", "") + "\n")
