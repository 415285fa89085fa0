"""Writes the inputs that fuzzing of SQLite starts from: tests/data/fuzz/sqlite. The first byte says
whether the rest is a file (0) or a query of the first file (1). Python's own library writes it."""

import os
import sqlite3
import tempfile

here = os.path.join(os.path.dirname(__file__), "../data/fuzz/sqlite")
tables = """
PRAGMA page_size = 512;
CREATE TABLE t (id TEXT, n INTEGER, x REAL, odd, g GENERATED ALWAYS AS (n + 1) VIRTUAL);
INSERT INTO t VALUES ('a', 1, 0.5, 'x'), ('b', NULL, 2, 7), ('c', -3, 1e300, x'00');
CREATE INDEX i ON t (n);
CREATE VIEW v AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 9)
  SELECT i, (SELECT count(*) FROM t) AS c FROM r;
CREATE TRIGGER w INSTEAD OF INSERT ON v BEGIN DELETE FROM t; END;
"""
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.db")
    connection = sqlite3.connect(path)
    connection.executescript(tables)
    connection.close()
    file = open(path, "rb").read()
open(os.path.join(here, "file"), "wb").write(b"\0" + file)
for name, query in {
    "mixed": "SELECT id, n, x, g FROM t ORDER BY id",
    "blob": "SELECT odd FROM t",
    "endless": "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r) SELECT i FROM r",
    "large": "SELECT hex(zeroblob(2147483647)) AS x",
    "attach": "ATTACH '/etc/passwd' AS x",
    "view": "SELECT i, c, printf('%.*c', c, 'x') AS p FROM v WHERE i LIKE '%' GROUP BY i",
}.items():
    open(os.path.join(here, name), "wb").write(b"\1" + query.encode())
