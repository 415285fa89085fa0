"""Writes one hospital table in the variants in which sites have them, into tests/data/hospital, and
list.json: for each the rules that it needs, and words of the error without them and with them (none:
it trains). Needs numpy, pandas and pyarrow.
"""

import json
import pathlib

import numpy as np
import pandas as pd

OUT = pathlib.Path(__file__).parent.parent / "data" / "hospital"
OUT.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(29)
N = 40
age = random.integers(20, 90, N)
weight = np.round(random.normal(75, 12, N), 1)
outcome = (age + random.normal(0, 10, N) > 55).astype(int)
clean = pd.DataFrame({"age": age, "weight": weight, "outcome": outcome})
cases = []


def case(name, content, columns=None, plain=None, ruled=None, missing=None):
    """`plain` and `ruled` are words of the error, or None if it trains."""
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False)
    if isinstance(content, str):
        content = content.encode()
    file = name if name.endswith(".parquet") else f"{name}.csv"
    if content is not None:
        (OUT / file).write_bytes(content)
    cases.append(
        {"file": file, "columns": columns, "missing": missing, "plain": plain, "ruled": ruled}
    )


def with_(**columns):
    return clean.assign(**columns)


def cell(column, value):
    values = clean[column].astype(object).copy()
    values[3] = value
    return with_(**{column: values})


text = clean.to_csv(index=False)
IMPUTE = 'weight = { kind = "number", impute = "median" }'
case("clean", clean)
case("bom", "\ufeff" + text)
case("crlf", text.replace("\n", "\r\n"))
case("semicolon", text.replace(",", ";"))
case("quoted", clean.to_csv(index=False, quoting=1))
case("spaces", text.replace(",", " , "))
case("blank_lines", text + "\n\n")
case("float_labels", with_(outcome=outcome.astype(float)), 'outcome = { kind = "class", values = [0, 1] }')
case("constant", with_(site=7))
case("empty_cell", cell("weight", ""), IMPUTE, "weight = { kind = \"number\", impute = \"median\" }")
case("na", cell("weight", "NA"), IMPUTE, "weight = { kind = \"number\", impute = \"median\" }")
case("nan", cell("weight", "nan"), 'weight = { kind = "number", impute = "mean", flag_missing = true }', "is not a finite float32")
case("own_word", cell("weight", "unbekannt"), IMPUTE, "is not a number", missing=["unbekannt"])
case("missing_target", cell("outcome", ""), 'outcome = "boolean"', "the cell is empty", "1 rows have no `outcome`, the first at line 5")
sexes = random.choice(["M", "F"], N)
case("text_column", with_(sex=sexes), 'sex = { kind = "category", values = ["F", "M"] }', "sex = { kind = \"category\", values = [\"" )
case("unknown_text", with_(sex=np.where(np.arange(N) == 5, "D", sexes)), 'sex = { kind = "category", values = ["F", "M"] }', "is not a number", "`D` is not one of the 2 `values` of the rule; add it to `values`, or write `unknown = \"other\"`")
case("other_text", with_(sex=np.where(np.arange(N) == 5, "D", sexes)), 'sex = { kind = "category", values = ["F", "M"], unknown = "other" }', "is not a number")
case("names", with_(name=[f"patient {n}" for n in range(N)]), 'name = "drop"', "name = \"drop\"")
case("booleans", with_(smoker=random.choice(["TRUE", "False"], N)), 'smoker = "boolean"', 'smoker = "boolean"')
case("german_booleans", with_(smoker=random.choice(["ja", "Nein"], N)), 'smoker = { kind = "boolean", true = ["ja"], false = ["nein"] }', "is not a number")
days = pd.Timestamp("2020-01-31") + pd.to_timedelta(random.integers(0, 900, N), "D")
case("iso_dates", with_(visit=days.strftime("%Y-%m-%d")), 'visit = { kind = "date", since = 2020-01-01 }', 'visit = "date"')
case("german_dates", with_(visit=days.strftime("%d.%m.%Y")), 'visit = { kind = "date", format = "%d.%m.%Y" }', "is not a number")
case("impossible_date", cell("weight", "2023-02-30"), 'weight = { kind = "date" }', "is not a number", "is not a date as `%Y-%m-%d`")
comma = clean.to_csv(index=False, sep=";", decimal=",")
case("decimal_comma", comma, 'weight = { kind = "number", decimal = "," }', "decimal = \",\"")
dollars = [f"{value:,.2f}" for value in random.lognormal(8, 1, N)]
case("thousands", with_(cost=dollars), 'cost = { kind = "number", thousands = "," }', "thousands = \",\"")
labels = np.where(outcome == 1, "malignant", "benign")
case("text_labels", with_(outcome=labels), 'outcome = { kind = "class", values = ["benign", "malignant"] }', "is not a number")
case("labels_from_1", with_(outcome=outcome + 1), 'outcome = { kind = "class", values = [1, 2] }')
case("dummies", pd.get_dummies(with_(sex=sexes), columns=["sex"]), 'sex_M = "boolean"\nsex_F = "boolean"', 'sex_F = "boolean"')
case("latin_1", with_(größe=weight).to_csv(index=False).encode("latin-1"), None, "not UTF-8")
case("utf_16", text.encode("utf-16"), None, "not text in UTF-8")
case("duplicate_name", text.replace("weight", "age", 1), None, "names must be present and differ")
case("short_row", text + "1,2\n", None, "line 42 has 2 cells, the header has 3")
case("empty_file", "", None, "the file is empty")
case("header_only", "age,weight,outcome\n", None, "no rows after the header")
case("no_header", text.split("\n", 1)[1], None, "the first line holds only numbers")

with_holes = clean.assign(weight=clean["weight"].where(np.arange(N) != 3))
clean.to_parquet(OUT / "plain.parquet", index=False)
case("plain.parquet", None)
with_holes.to_parquet(OUT / "null.parquet", index=False)
case("null.parquet", None, IMPUTE, "the cell is empty")
with_(sex=pd.Categorical(sexes), name="x").to_parquet(OUT / "text.parquet", index=False)
case("text.parquet", None, 'sex = { kind = "category", values = ["F", "M"] }\nname = "drop"', "give the column a rule")
at = days + pd.to_timedelta(random.integers(0, 86_400, N), "s")
typed = {
    "visit": ((days - pd.Timestamp("2020-01-01")) / pd.Timedelta(1, "D")).tolist(),
    "at": ((at - pd.Timestamp("1970-01-01")) / pd.Timedelta(1, "D")).tolist(),
    "smoker": (sexes == "M").astype(float).tolist(),
    "outcome": outcome.astype(float).tolist(),
}
(OUT / "typed.json").write_text(json.dumps(typed) + "\n")
with_(visit=days.date, at=at, smoker=sexes == "M", outcome=labels).to_parquet(OUT / "typed.parquet", index=False)
case("typed.parquet", None, 'visit = "date"\nat = "date"\nsmoker = "boolean"\noutcome = { kind = "class", values = ["benign", "malignant"] }', "give the column a rule")
clean.to_parquet(OUT / "zstd.parquet", index=False, compression="zstd")
case("zstd.parquet", None, None, "compression with ZSTD is not read")

(OUT / "list.json").write_text(json.dumps(cases, indent=1) + "\n")
print(len(cases))
