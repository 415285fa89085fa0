"""Packs a library and a program that cargo built into a wheel, without building them again: maturin
builds this package alone, and cargo then builds every dependency with fewer features. A release is
built by maturin (build-wheel --release); metadata are those of pyproject.toml in both.

    pack_wheel.py VERSION LIBRARY PROGRAM DIR
"""

from __future__ import annotations

import base64
import hashlib
import platform
import sys
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def metadata(project: dict, version: str) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {version}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        f"License-Expression: {project['license']}",
        *(f"Requires-Dist: {need}" for need in project["dependencies"]),
    ]
    for extra, needs in project["optional-dependencies"].items():
        lines += [f"Provides-Extra: {extra}", *(f"Requires-Dist: {need}; extra == '{extra}'" for need in needs)]
    lines += ["Description-Content-Type: text/markdown", "", (HERE / project["readme"]).read_text()]
    return "\n".join(lines)


def pack(version: str, library: Path, program: Path, out: Path) -> Path:
    pyproject = tomllib.loads((HERE / "pyproject.toml").read_text())
    project = pyproject["project"]
    name, tag = project["name"], f"cp310-abi3-linux_{platform.machine()}"
    info = f"{name}-{version}.dist-info"
    scripts = "\n".join(f"{script} = {entry}" for script, entry in project["scripts"].items())
    files: dict[str, tuple[bytes, int]] = {}
    for path in sorted((HERE / name).rglob("*")):
        inside = path.relative_to(HERE)
        is_made = inside.parts[1] == "bin" or path.name.startswith("_native.abi3")
        if path.is_file() and not is_made and "__pycache__" not in inside.parts:
            files[inside.as_posix()] = (path.read_bytes(), 0o644)
    files[f"{name}/_native.abi3.so"] = (library.read_bytes(), 0o755)
    files[f"{name}/bin/fedwasm"] = (program.read_bytes(), 0o755)
    files[f"{info}/METADATA"] = (metadata(project, version).encode(), 0o644)
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: fedwasm\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
        0o644,
    )
    files[f"{info}/entry_points.txt"] = (f"[console_scripts]\n{scripts}\n".encode(), 0o644)
    record = []
    for inside, (content, _) in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{inside},sha256={digest},{len(content)}")
    record.append(f"{info}/RECORD,,\n")
    files[f"{info}/RECORD"] = ("\n".join(record).encode(), 0o644)
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, (content, mode) in files.items():
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return wheel


if __name__ == "__main__":
    version, library, program, out = sys.argv[1:]
    print(pack(version, Path(library), Path(program), Path(out)))
