"""Compares this project with ONNX Runtime, for the models in a folder that generate.py wrote.

    compare.py FOLDER PROGRAM [--only REGEX] [--families NAMES] [--seconds S] [--markdown]

PROGRAM is the example `zoo` of crates/model. It loads each model, and compares its outputs with those of
ONNX Runtime. Then this script measures PROGRAM and ONNX Runtime in turns. Both run with one thread, with the
same inputs, and on the same processor, because processors differ in speed. Their processes keep running
between the rounds. The time of a round is the median of its runs, and the fastest round counts. Numeric
inputs and outputs of ONNX Runtime are bound once, so that its Python code takes little of the time. The exit
code is 1 if a model does not load or if its outputs differ.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnxruntime
from onnx import numpy_helper

NETWORKS = {"PyTorch", "Keras"}
ROUNDS = 5
MINIMUM = 3  # number of warm-up runs, and minimum number of timed runs


@dataclass
class Result:
    name: str
    family: str
    loads: bool = False
    prepared: bool = False
    agrees: bool = False
    error: str = ""
    times: dict[int, tuple[float, float]] = field(default_factory=dict)
    """For each number of rows: the time of this project and the time of ONNX Runtime, in nanoseconds."""

    def speed(self, rows: int) -> float | None:
        """Returns the speed relative to ONNX Runtime: 2.0 is twice as fast."""
        ours, theirs = self.times.get(rows, (0, 0))
        return theirs / ours if ours else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("program")
    parser.add_argument("--only", default="", metavar="REGEX", help="only models whose name matches")
    parser.add_argument("--families", help="[default: all]")
    parser.add_argument("--seconds", type=float, default=0.1, help="duration of a round [default: %(default)s]")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/models.md")
    arguments = parser.parse_args()
    families = arguments.families and arguments.families.split(",")
    index = json.loads((arguments.folder / "index.json").read_text())
    chosen = {
        name: entry
        for name, entry in index.items()
        if re.search(arguments.only, name) and (not families or entry["family"] in families)
    }
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    program = Program(arguments.program)
    results = []
    for name, entry in chosen.items():
        if "error" in entry:
            print(f"{name}: not exported: {entry['error'].splitlines()[0]}", file=sys.stderr)
            continue
        result = compare(program, arguments.folder / name, name, entry, arguments.seconds)
        results.append(result)
        print(line(result), file=sys.stderr if arguments.markdown else sys.stdout, flush=True)
    if arguments.markdown:
        print(markdown(results))
    summary = "\n".join(summarize(results))
    print(summary, file=sys.stderr if arguments.markdown else sys.stdout)
    return 0 if results and all(result.agrees for result in results) else 1


class ProgramError(Exception):
    """An error that the program reports."""


class Program:
    """The running PROGRAM. It reads each request as a line, and writes each reply as a line."""

    def __init__(self, path: str):
        self.path = path
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def request(self, line: str) -> str:
        try:
            print(line, file=self.process.stdin, flush=True)
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            code = self.process.wait()
            self.start()
            raise ProgramError(f"the process ended with code {code}")
        status, _, text = reply.strip().partition(" ")
        if status != "ok":
            raise ProgramError(text)
        return text


def compare(program: Program, folder: Path, name: str, entry: dict, seconds: float) -> Result:
    result = Result(name, entry["family"])
    try:
        result.prepared = program.request(f"load {folder}").split()[1] != "-"
        result.loads = True
        program.request(f"check {entry['tolerance']}")
        result.agrees = True
        session = one_thread(folder / "model.onnx")
        for rows in {min(entry["rows"]), max(entry["rows"])}:
            number = entry["rows"].index(rows)
            run = runner(session, folder / f"test_data_set_{number}")
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(float(program.request(f"time {number} {seconds}")))
                theirs.append(median_time(run, seconds))
            result.times[rows] = min(ours), min(theirs)
    except ProgramError as error:
        result.error = str(error)
    return result


def one_thread(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def runner(session: onnxruntime.InferenceSession, data_set: Path):
    """Returns a function that runs the session on the inputs of a data set."""
    names = [spec.name for spec in session.get_inputs()]
    tensors = [onnx.load_tensor(data_set / f"input_{i}.pb") for i in range(len(names))]
    inputs = dict(zip(names, map(numpy_helper.to_array, tensors), strict=True))
    outputs = [spec.type for spec in session.get_outputs()]
    tensors_only = all(kind.startswith("tensor(") for kind in outputs)
    if not tensors_only or any(array.dtype == object for array in inputs.values()):
        return lambda: session.run(None, inputs)
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    for spec in session.get_outputs():
        binding.bind_output(spec.name, "cpu")
    try:
        for _ in range(2):  # the second run reuses the buffers of the first
            session.run_with_iobinding(binding)
    except RuntimeError:  # an output does not have the declared shape
        return lambda: session.run(None, inputs)
    return lambda: session.run_with_iobinding(binding)


def median_time(run, seconds: float) -> float:
    times = []
    begin = time.perf_counter()
    while len(times) < 2 * MINIMUM or time.perf_counter() - begin < seconds:
        start = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times[MINIMUM:])


def line(result: Result) -> str:
    if not result.agrees:
        stage = "loads, but differs:" if result.loads else "DOES NOT LOAD:"
        return f"{result.name:44} {stage} {result.error}"
    times = (
        f"{rows:5} rows {ours / 1e3:10.1f} µs, ONNX Runtime {theirs / 1e3:10.1f} µs, {theirs / ours:6.2f}×"
        for rows, (ours, theirs) in sorted(result.times.items())
    )
    return f"{result.name:44} agrees {';'.join(times)}"


def summarize(results: list[Result]) -> list[str]:
    loads, agrees, prepared = (
        sum(getattr(result, kind) for result in results) for kind in ("loads", "agrees", "prepared")
    )
    lines = [
        f"{len(results)} models: {loads} load, {agrees} agree with ONNX Runtime {onnxruntime.__version__}; "
        f"a build prepares {prepared}"
    ]
    for kind, group in groups(results).items():
        for rows in sorted({rows for result in group for rows in result.times}):
            speeds = [result.speed(rows) for result in group if rows in result.times]
            lines.append(
                f"{kind} with {rows} rows, {len(speeds)} models: at least {min(speeds):.2f} times as fast as ONNX "
                f"Runtime, median {statistics.median(speeds):.2f}"
            )
    return lines


def groups(results: list[Result]) -> dict[str, list[Result]]:
    grouped = {"classical models": [], "networks": []}
    for result in results:
        grouped["networks" if result.family in NETWORKS else "classical models"].append(result)
    return grouped


def markdown(results: list[Result]) -> str:
    lines = [
        "| Family | Models | Load | Agree | Speed, 1 row | Speed, 1,000 rows |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for family in dict.fromkeys(result.family for result in results):
        group = [result for result in results if result.family == family]
        cells = [len(group), sum(r.loads for r in group), sum(r.agrees for r in group)]
        for rows in (1, 1000):
            speeds = [speed for result in group if (speed := result.speed(rows))]
            cells.append(f"{statistics.median(speeds):.1f}× ({min(speeds):.1f}×)" if speeds else "")
        lines.append(f"| {family} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
