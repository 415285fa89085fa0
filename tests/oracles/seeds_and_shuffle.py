"""Prints the seeds and shuffles that the host's tests expect.

An independent implementation of host/protocol/src/seed.rs and
host/training/src/{shuffle,blocks,sides}.rs; ChaCha20 is written out after RFC 8439.
Needs nothing but Python 3.
"""
import hashlib
import struct


def seed(purpose, random_seed, rest=b""):
    text = b"fedwasm/v1\0" + purpose.encode() + b"\0" + struct.pack("<Q", random_seed) + rest
    return hashlib.sha256(text).digest()


def chacha20_words(key, nonce=0):
    """The key stream as 32-bit words: 64-bit nonce, 64-bit block counter from 0."""
    constant = struct.unpack("<4I", b"expand 32-byte k")
    counter = 0
    rotate = lambda v, n: ((v << n) | (v >> (32 - n))) & 0xFFFFFFFF
    while True:
        start = list(constant + struct.unpack("<8I", key) + struct.unpack("<4I", struct.pack("<QQ", counter, nonce)))
        s = start[:]
        def quarter(a, b, c, d):
            for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = (s[x] + s[y]) & 0xFFFFFFFF
                s[z] = rotate(s[z] ^ s[x], n)
        for _ in range(10):
            for q in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                      (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
                quarter(*q)
        yield from ((a + b) & 0xFFFFFFFF for a, b in zip(s, start))
        counter += 1


def below(words, n):
    """A uniform draw from 0..n: 64-bit words, those beyond the last multiple of n rejected."""
    limit = (2**64 // n) * n
    while True:
        word = next(words) | next(words) << 32
        if word < limit:
            return word % n


def shuffle(items, words):
    for i in range(len(items) - 1, 0, -1):
        j = below(words, i + 1)
        items[i], items[j] = items[j], items[i]
    return items


def folds(n_rows, count, random_seed):
    """The rows that each fold holds out: consecutive pieces of a permutation."""
    rows = shuffle(list(range(n_rows)), chacha20_words(seed("folds", random_seed)))
    held_out, at = [], 0
    for index in range(count):
        size = n_rows // count + (1 if index < n_rows % count else 0)
        held_out.append(sorted(rows[at : at + size]))
        at += size
    return held_out


def stratified(classes, seed, test_ratio=None, fold=None):
    """The rows that are held out, by class; `fold` is (index, count)."""
    place = {row: at for at, row in enumerate(shuffle(list(range(len(classes))), chacha20_words(seed)))}
    order = sorted(range(len(classes)), key=lambda row: (classes[row], place[row]))
    if fold:
        return sorted(order[fold[0] - 1 :: fold[1]])
    held_out, start = [], 0
    for c in sorted(set(classes)):
        rows = [row for row in order if classes[row] == c]
        end = start + len(rows)
        held_out += rows[: int(end * test_ratio) - int(start * test_ratio)]
        start = end
    return sorted(held_out)


def grouped(values, seed, test_ratio=None, fold=None):
    """The rows that are held out, whole groups."""
    groups = [[row for row, v in enumerate(values) if v == value] for value in sorted(set(values))]
    groups = shuffle(groups, chacha20_words(seed))
    if fold:
        groups.sort(key=lambda group: -len(group))
        folds = [[] for _ in range(fold[1])]
        for group in groups:
            min(folds, key=len).extend(group)
        return sorted(folds[fold[0] - 1])
    held_out = []
    for group in groups:
        if len(held_out) < int(len(values) * test_ratio):
            held_out += group
    return sorted(held_out)


def by_time(times, test_ratio=None, fold=None):
    """The rows that are trained on, and those that are held out."""
    n, order = len(times), sorted(range(len(times)), key=lambda row: times[row])
    sorted_times = sorted(times)
    first = lambda at: sorted_times.index(sorted_times[at]) if at < n else at
    if fold:
        piece = n // (fold[1] + 1)
        start = n - (fold[1] + 1 - fold[0]) * piece
        start, end = first(start), first(start + piece)
    else:
        start, end = first(n - int(n * test_ratio)), n
    return sorted(order[:start]), sorted(order[start:end])


if __name__ == "__main__":
    le32 = lambda n: struct.pack("<I", n)
    print("init   ", seed("init", 42)[:8].hex())
    print("split  ", seed("split", 42)[:8].hex())
    print("shuffle", seed("shuffle", 42, le32(1))[:8].hex())
    print("plan   ", seed("plan", 42, le32(3) + b"site-1")[:8].hex())
    print("folds  ", seed("folds", 42)[:8].hex())
    words = chacha20_words(seed("split", 42))
    print("0..10 after split 42:", shuffle(list(range(10)), words))
    words = chacha20_words(seed("shuffle", 42, le32(1)))
    print("0..10 after shuffle 42 round 1:", shuffle(list(range(10)), words))
    print("0..10 the epoch after it:      ", shuffle(list(range(10)), words))
    print("10 rows in 3 folds, seed 42:", folds(10, 3, 42))
    # A dataset of 23 rows in blocks of 10, a quarter held out; 20 blocks, and 10 rows of the first
    # group of blocks.
    for block, (start, end) in enumerate([(0, 10), (10, 20), (20, 23)]):
        n_test = int(end * 0.25) - int(start * 0.25)
        words = chacha20_words(seed("split", 42), block)
        print(f"held out of {start}..{end}:", sorted(shuffle(list(range(start, end)), words)[:n_test]))
    # How many rows a block has, and 120,000 rows of ten columns: 80 bytes a row as they are read.
    block_rows = lambda row_bytes: min(max((4 << 20) // row_bytes, 1), 65_536)
    print("rows of a block:", {n: block_rows(n) for n in (1, 64, 65, 80, 785, 5 << 20)})
    starts = list(range(0, 120_000, block_rows(80)))
    for block, (start, end) in enumerate(zip(starts, starts[1:] + [120_000])):
        n_test = int(end * 0.2) - int(start * 0.2)
        words = chacha20_words(seed("split", 42), block)
        held_out = sorted(shuffle(list(range(start, end)), words)[:n_test])
        print(f"{n_test} held out of {start}..{end}:", held_out[:4])
    stream = b"".join(struct.pack("<I", next(w)) for w in [chacha20_words(seed("plan", 42, le32(1) + b"site-1"))] for _ in range(4))
    print("what a plan draws first, seed 42, round 1, site-1:", stream.hex())
    words = chacha20_words(seed("shuffle", 42, le32(1)))
    print("20 blocks after shuffle 42 round 1:", shuffle(list(range(20)), words))
    print("10 rows of its first group:        ", shuffle(list(range(10)), words))
    for block, (start, end) in enumerate([(0, 10), (10, 20), (20, 23)]):
        order = shuffle(list(range(start, end)), chacha20_words(seed("folds", 42), block))
        held_out = sorted(row for place, row in enumerate(order) if (start + place) % 3 == 1)
        print(f"fold 2 of 3 of {start}..{end}:", held_out)
    classes = [0, 1, 0, 2, 1, 0, 0, 2, 0, 1, 0, 0]
    print("stratified, a quarter of 12:", stratified(classes, seed("split", 42), 0.25))
    print("stratified, 3 folds:", [stratified(classes, seed("folds", 42), fold=(k, 3)) for k in (1, 2, 3)])
    patients = [7, 7, -2, 7, 30, 30, 5, 5, 5, 5, -2, 4]
    print("groups, a quarter of 12:", grouped(patients, seed("split", 42), 0.25))
    print("groups, 3 folds:", [grouped(patients, seed("folds", 42), fold=(k, 3)) for k in (1, 2, 3)])
    times = [5, 1, 2, 2, 9, 8, 8, 3, 4, 8, 7, 6]
    print("times, a quarter of 12:", by_time(times, 0.25))
    print("times, 3 folds:", [by_time(times, fold=(k, 3)) for k in (1, 2, 3)])
