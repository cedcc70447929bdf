"""Prepares the models of the wild zoo, and compares the server's outputs with those of ONNX Runtime.

    measure.py FOLDER SERVER [--only REGEX] [--families NAMES] [--keep | --prepare] [--markdown]

FOLDER keeps packages, models, data sets and results. A model is prepared once, and its result is kept for the
SERVER that it was measured with, so that an interrupted run continues where it stopped. FOLDER/failures.md lists
what fails and why. A model without a reference, because ONNX Runtime does not run it, does not count. The exit code
is 1 if a model does not load or agree.
"""

import argparse
import hashlib
import importlib
import itertools
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import inputs
import numpy as np
import onnx
from model import Wild
from server import Server, ServerError
from tolerances import difference, tolerances

SOURCES = ("packages", "language", "images", "quantized")
AGREES, DIFFERS, FAILS, REFUSED = "agrees", "differs", "fails", "does not load"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("server", type=Path)
    parser.add_argument("--only", default="", metavar="REGEX", help="only models whose name matches")
    parser.add_argument("--families", default="", help="separated by semicolons [default: all]")
    parser.add_argument("--keep", action="store_true", help="only models that an earlier run prepared")
    parser.add_argument("--prepare", action="store_true", help="only prepare the models")
    parser.add_argument("--markdown", action="store_true", help="print the table by family for the docs")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    zoo = Zoo(arguments.folder.resolve(), arguments.server.resolve())
    families = [family for family in arguments.families.split(";") if family]

    def chosen(name: str, family: str) -> bool:
        return bool(re.search(arguments.only, name)) and (not families or family in families)

    if not arguments.keep:
        zoo.prepare(chosen)
    if arguments.prepare:
        return report(zoo.errors)
    names = [name for name, entry in zoo.index.items() if chosen(name, entry["family"])]
    log = sys.stderr if arguments.markdown else sys.stdout
    for name in names:
        if "error" not in zoo.index[name]:
            result = zoo.measure(name)
            print(f"{name:60} {result['status']} {result['reason']}"[:400], file=log, flush=True)
    results = zoo.results_of(names)
    print(table(results) if arguments.markdown else summary(results))
    report(zoo.errors)
    (zoo.folder / "failures.md").write_text(failures(zoo, names))
    return 0 if results and all(result["status"] == AGREES for result in results.values()) else 1


def report(errors: list[str]) -> int:
    for error in errors:
        print(error, file=sys.stderr)
    return 0


class Zoo:
    def __init__(self, folder: Path, server: Path):
        self.folder, self.server = folder, server
        self.digest = hashlib.sha256(server.read_bytes()).hexdigest()[:16]
        self.index_file, self.results_file = folder / "index.json", folder / "results.json"
        self.index, self.results = read(self.index_file), read(self.results_file)
        self.errors: list[str] = []

    def prepare(self, chosen) -> None:
        """Downloads and exports the chosen models that are new, and computes their data sets."""
        (self.folder / "models").mkdir(parents=True, exist_ok=True)
        for model in self.sources():
            hints = json.dumps(model.hints, sort_keys=True)
            if not chosen(model.name, model.family) or self.index.get(model.name, {}).get("hints") == hints:
                continue
            entry = {"family": model.family, "hints": hints}
            try:
                self.index[model.name] = entry | self.make(model)
            except Exception as error:  # of an exporter or ONNX Runtime; it goes into the index
                self.index[model.name] = entry | {"error": f"{type(error).__name__}: {inputs.brief(error)}"}
            print(f"{model.name:60} {self.index[model.name].get('error', 'prepared')}", file=sys.stderr, flush=True)
            write(self.index_file, self.index)

    def sources(self) -> Iterator[Wild]:
        for source in SOURCES:
            try:
                module = importlib.import_module(source)
                yield from module.models(self.folder / source, self.errors)
            except ImportError as error:
                self.errors.append(f"models of {source}.py: {error}")

    def make(self, model: Wild) -> dict:
        """Writes the model's file and its data sets."""
        file = self.file(model.name)
        file.parent.mkdir(exist_ok=True)
        if isinstance(model.source, Path):
            file.unlink(missing_ok=True)
            file.symlink_to(model.source)
        else:
            model.source(file)
        session = inputs.open_session(file)
        sets = inputs.data_sets(session, model.hints)
        for number, (_, given, expected) in enumerate(sets):
            named = {f"input:{name}": array for name, array in given.items()}
            named |= {f"output:{name}": array for name, array in expected.items()}
            np.savez(file.with_name(f"set_{number}.npz"), **named)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        proto = onnx.load(file, load_external_data=False)
        limits = tolerances(proto, model.hints)
        if "steps" in limits:
            limits["changes"] = inputs.sensitivity(file, sets)
        return {"sizes": [sizes for sizes, _, _ in sets], "sha256": content, "limits": limits}

    def file(self, name: str) -> Path:
        return self.folder / "models" / name / "model.onnx"

    def measure(self, name: str) -> dict:
        """Returns the result of a model: its status and the reason of a failure."""
        entry = self.index[name]
        key = f"{self.digest} {entry['sha256']} {entry['hints']}"
        if self.results.get(name, {}).get("key") != key:
            status, reason = self.compare(name, entry)
            self.results[name] = {"key": key, "status": status, "reason": " ".join(reason.split())}
            write(self.results_file, self.results)
        return self.results[name]

    def compare(self, name: str, entry: dict) -> tuple[str, str]:
        file = self.file(name)
        try:
            with Server(self.server, file) as server:
                for number, sizes in enumerate(entry["sizes"]):
                    data = np.load(file.with_name(f"set_{number}.npz"), allow_pickle=True)
                    arrays = {kind: {} for kind in ("input", "output")}
                    for key in data.files:
                        kind, _, tensor = key.partition(":")
                        arrays[kind][tensor] = data[key]
                    try:
                        found = server.infer(arrays["input"])
                    except ServerError as error:
                        return FAILS, f"({sizes}) {error}"
                    for output, expected in arrays["output"].items():
                        if output not in found and (parts := elements(found, output)):
                            found[output] = np.concatenate([np.ravel(part) for part in parts])
                        if output not in found:
                            return FAILS, f"({sizes}) the response lacks `{output}`"
                        if text := difference(found[output], expected, entry["limits"], output):
                            return DIFFERS, f"({sizes}) {text}"
        except ServerError as error:
            return REFUSED, str(error).removeprefix(f"error: {file} cannot be served: ")
        return AGREES, ""

    def results_of(self, names: list[str]) -> dict[str, dict]:
        """Returns the results of the models that have a reference, with their families."""
        return {
            name: self.results[name] | {"family": self.index[name]["family"]}
            for name in names
            if name in self.results and "error" not in self.index[name]
        }


def elements(found: dict[str, np.ndarray], output: str) -> list[np.ndarray]:
    """Returns the elements of an output that is a sequence in ONNX Runtime, and several outputs of the server."""
    names = itertools.takewhile(found.__contains__, (f"{output}_{index}" for index in itertools.count()))
    return [found[name] for name in names]


def read(file: Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def write(file: Path, content: dict) -> None:
    """Replaces a file. An interruption leaves either the old or the new content."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1))
    new.replace(file)


def shares(results: dict[str, dict]) -> Iterator[tuple[str, int, int, int]]:
    """Yields the number of models, of those that load, and of those that agree, for each family and in total."""
    groups = {}
    for result in results.values():
        groups.setdefault(result["family"], []).append(result["status"])
    for family, statuses in [*sorted(groups.items()), ("Total", [r["status"] for r in results.values()])]:
        loads = len(statuses) - statuses.count(REFUSED)
        yield family, len(statuses), loads, statuses.count(AGREES)


def summary(results: dict[str, dict]) -> str:
    return "\n".join(
        f"{family}: {count} models, {loads} load, {agrees} agree ({agrees / max(count, 1):.0%})"
        for family, count, loads, agrees in shares(results)
    )


def table(results: dict[str, dict]) -> str:
    lines = ["| Family | Models | Load | Agree | Share |", "|---|--:|--:|--:|--:|"]
    for family, count, loads, agrees in shares(results):
        lines.append(f"| {family} | {count} | {loads} | {agrees} | {agrees / max(count, 1):.0%} |")
    return "\n".join(lines)


def failures(zoo: Zoo, names: list[str]) -> str:
    lines = ["# Failures", "", "| Model | Result | Reason |", "|---|---|---|"]
    for name, result in zoo.results_of(names).items():
        if result["status"] != AGREES:
            lines.append(f"| {name} | {result['status']} | {cell(result['reason'])} |")
    lines += ["", "# Models without a reference", "", "| Model | Reason |", "|---|---|"]
    lines += [f"| {name} | {cell(zoo.index[name]['error'])} |" for name in names if "error" in zoo.index[name]]
    lines += [f"| | {cell(error)} |" for error in zoo.errors]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|")[:500]


if __name__ == "__main__":
    sys.exit(main())
