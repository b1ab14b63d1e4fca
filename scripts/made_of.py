#!/usr/bin/env python3
"""Prints what a release is made of, for people or for programs.

usage: scripts/made_of.py licences   each crate that is linked into the program, and every text of a licence once, with those who carry it
       scripts/made_of.py sbom       a bill of materials in CycloneDX 1.5: the crates, what the page is made with, ONNX Runtime, the model's parts
"""

import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("licen", "copying", "notice", "unlicense", "copyright")
SOURCE = (".rs", ".c", ".h", ".py", ".sh")
MODEL = ROOT / "assets/models/avicuna-natural"
PROGRAM = "avicuna"


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)


def linked(graph):
    """The packages that the program is made of: not what only builds or tests it."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    packages = {package["id"]: package for package in graph["packages"]}
    members = set(graph["workspace_members"])
    open_ids = [identity for identity in members if packages[identity]["name"] == PROGRAM]
    seen = set(open_ids)
    while open_ids:
        for dependency in nodes[open_ids.pop()]["deps"]:
            wanted = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if wanted and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                open_ids.append(dependency["pkg"])
    found = sorted((packages[identity] for identity in seen - members), key=lambda p: (p["name"], p["version"]))
    if not found:
        sys.exit(f"made_of: the package {PROGRAM} has no dependencies; is Cargo.toml the project's?")
    return found


def texts(package):
    """The files of a crate, and of a library of C that it brings, that are named as licences are, and those its manifest names."""
    folder = Path(package["manifest_path"]).parent
    files = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    found = {path for path in files if path.is_file() and path.name.lower().startswith(NAMES) and path.suffix not in SOURCE}
    if package["license_file"]:
        found.add(folder / package["license_file"])
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(found)]


def licences():
    carried, without = {}, []
    print("The program is made with these crates, each under the terms that stand beside it.\n")
    for package in linked(metadata()):
        title = f"{package['name']} {package['version']}"
        print(f"{title}: {package['license'] or 'see its text'}")
        found = texts(package)
        for text in found:
            carried.setdefault(text, []).append(title)
        if not found:
            without.append(title)
    if without:
        print("\nWithout a text of their own, so that the standard one counts:", ", ".join(without))
    for text, titles in carried.items():
        print(f"\n{'-' * 80}\n{', '.join(titles)}\n{'-' * 80}\n\n{text}")


def component(kind, name, version, licence=None, purl=None, sha256=None):
    made = {"type": kind, "bom-ref": purl or f"{name}@{version}", "name": name, "version": version}
    if licence:
        # Crates of old say "A/B" where SPDX says "A OR B".
        made["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if purl:
        made["purl"] = purl
    if sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return made


def crates(graph):
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    sums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock["package"]}
    for package in linked(graph):
        name, version = package["name"], package["version"]
        yield component("library", name, version, package["license"], f"pkg:cargo/{name}@{version}", sums.get((name, version)))


def page():
    lock = json.loads((ROOT / "server/page/package-lock.json").read_text(encoding="utf-8"))
    for path, entry in lock["packages"].items():
        if path and not entry.get("dev"):
            name = path.rpartition("node_modules/")[2]
            yield component("library", name, entry["version"], entry.get("license"), f"pkg:npm/{name}@{entry['version']}")


def runtime():
    setup = (ROOT / "scripts/setup.sh").read_text(encoding="utf-8")
    found = re.search(r'"onnxruntime==([^|]+)\|[^|]+\|onnxruntime/libonnxruntime\.so\|([0-9a-f]{64})"', setup)
    if not found:
        sys.exit("made_of: scripts/setup.sh names no ONNX Runtime; look at its runtime_wheels")
    version, sha256 = found.groups()
    yield component("library", "onnxruntime", version, "MIT", f"pkg:pypi/onnxruntime@{version}", sha256)


def files_of(value):
    """Every table of a model.toml that names a file and its sha256."""
    if isinstance(value, dict):
        if "file" in value and "sha256" in value:
            yield value["file"], value["sha256"]
        for inner in value.values():
            yield from files_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from files_of(inner)


def model():
    manifest = tomllib.loads((MODEL / "model.toml").read_text(encoding="utf-8"))
    for name, sha256 in sorted(set(files_of(manifest))):
        yield component("machine-learning-model", f"{manifest['name']}/{name}", str(manifest["version"]), sha256=sha256)


def sbom():
    graph = metadata()
    version = next(package["version"] for package in graph["packages"] if package["name"] == PROGRAM)
    components = [*crates(graph), *page(), *runtime(), *model()]
    # The same parts give the same number, so that two runs give the same bytes.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components, sort_keys=True))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": component("application", PROGRAM, version, "Apache-2.0")},
        "components": components,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    wanted = {"licences": licences, "sbom": sbom}.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if not wanted:
        sys.exit(__doc__)
    wanted()
