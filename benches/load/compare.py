"""Starts the servers in turns, checks their responses, measures them, and prints a table.

`benches/load/run.sh` installs and builds everything, and then runs this program. `--help` lists the arguments.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import peers
import report
from workload import ROOT, any_model, default_model
from server import Failure, Server

ENVIRONMENTS = ROOT / "target/peers"
CONNECTIONS = (1, 16, 64)
BATCHES = (1000, 10_000)
WARM_UP_SECONDS = 1
MAX_NOISE = 0.1
"""Fraction of the processors that other programs may use. A measurement with a higher fraction is repeated."""
TRIES = 3


@dataclass
class Result:
    """The figures of a server in all rounds. Times are in seconds, and memory and size are in MB."""

    size: float
    cold_start: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    """Memory before the load."""
    loaded: list[float] = field(default_factory=list)
    """Memory after the load."""
    single: dict[int, list[dict]] = field(default_factory=dict)
    """Figures for requests with one row, by number of connections."""
    batches: dict[int, list[dict]] = field(default_factory=dict)
    """Figures for large bodies, by number of rows."""
    failure: str = ""
    """Error message if the server failed."""

    def is_complete(self, arguments) -> bool:
        """Returns whether each figure was measured at least once."""
        measured = self.single.keys() | self.batches.keys()
        return bool(self.loaded) and measured >= {*arguments.connections, *arguments.batches}


def main() -> int:
    arguments = parse()
    if arguments.list:
        print(*(peer.name for peer in peers.ALL), sep="\n")
        return 0
    chosen = [peer for peer in peers.ALL if arguments.only is None or peer.name in arguments.only]
    if arguments.model:
        chosen = [peer for peer in chosen if not peer.default_model]
    if arguments.environments:
        print(*sorted({peer.folder for peer in chosen} - {""}), sep="\n")
        return 0

    max_rows = max(arguments.batches, default=1)
    model = default_model(ENVIRONMENTS / "model", max_rows)
    subjects = {}
    if arguments.model:
        # The figures for `--model` are compared with the figures for the default model.
        subjects[report.DEFAULT] = (peers.ALL[0], model)
        model = any_model(arguments.model.resolve(), ENVIRONMENTS / "other", max_rows)
    subjects |= {peer.name: (peer, model) for peer in chosen}
    results = {name: Result(size_of(peer, arguments.built)) for name, (peer, _) in subjects.items()}
    try:
        rounds(subjects, results, arguments)
    except KeyboardInterrupt:
        print("interrupted: the table contains only the servers measured so far", file=sys.stderr)
        results = {name: result for name, result in results.items() if result.is_complete(arguments)}
    print(report.markdown(model.name, results, arguments))
    if arguments.json:
        content = {"model": model.name, "results": {name: asdict(result) for name, result in results.items()}}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    if arguments.svg:
        report.plot(results, arguments)
    return 1 if any(result.failure for result in results.values()) else 0


def rounds(subjects: dict, results: dict[str, Result], arguments) -> None:
    """Measures all servers in each round, in a different order each time. Adds the figures to `results`."""
    names, order = list(subjects), random.Random(0)
    with tempfile.TemporaryDirectory(prefix="load-bench-") as scratch:
        for number in range(arguments.rounds):
            order.shuffle(names)
            for name in names:
                result, (peer, served) = results[name], subjects[name]
                if result.failure:
                    continue
                print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr, flush=True)
                folder = Path(scratch) / name.replace(" ", "-")
                start = partial(Server, peer, served, arguments.built.resolve(), folder, ENVIRONMENTS)
                try:
                    measure(start, peer, served, arguments, result)
                except (Failure, OSError, subprocess.CalledProcessError) as error:
                    result.failure = str(error)
                    print(f"{name}: {error}", file=sys.stderr)


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",") if part]

    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", type=lambda text: text.split(";"), metavar="NAMES", help="measure only these servers; separator `;`")
    add("--list", action="store_true", help="print the names of the servers, and measure nothing")
    add("--model", type=Path, metavar="FILE", help="ONNX file with one float input [model.onnx]")
    add("--rounds", type=int, default=3, help="number of rounds [%(default)s]")
    add("--seconds", type=int, default=5, help="length of each measurement [%(default)s]")
    add("--starts", type=int, default=3, help="number of starts of each server in each round [%(default)s]")
    add("--connections", type=numbers, default=CONNECTIONS, help="numbers of connections for single rows [1,16,64]")
    add("--batches", type=numbers, default=BATCHES, help="numbers of rows in large bodies [1000,10000]")
    add("--svg", type=Path, metavar="FILE", help="write a plot")
    add("--json", type=Path, metavar="FILE", help="write every figure of every round")
    add("--built", type=Path, default=Path(), help=argparse.SUPPRESS)
    add("--environments", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    known = [peer.name for peer in peers.ALL]
    if unknown := [name for name in arguments.only or [] if name not in known]:
        parser.error(f"--only: expected some of {', '.join(known)}, found {', '.join(unknown)}")
    if arguments.model and not arguments.model.is_file():
        parser.error(f"--model: expected a file, found no {arguments.model}")
    return arguments


def measure(start, peer, model, arguments, result) -> None:
    """Adds the figures of one round to `result`. `start` starts the server."""
    one_row = peer.protocol.encode(model, model.rows[:1])
    for _ in range(arguments.starts - 1):
        with start() as server:
            result.cold_start.append(server.first_response(one_row))
    with start() as server:
        result.cold_start.append(server.first_response(one_row))
        result.idle.append(server.memory())
        for connections in arguments.connections:
            sample = least_disturbed(server, one_row, connections, arguments.seconds)
            result.single.setdefault(connections, []).append(sample)
        for rows in arguments.batches:
            request = peer.protocol.encode(model, model.rows[:rows])
            status, response = server.send(request)
            if status != 200:
                raise Failure(f"{rows} rows: status {status}: {response[:200]!r}")
            server.check(response)
            sample = least_disturbed(server, request, 2, arguments.seconds)
            result.batches.setdefault(rows, []).append({**sample, "rate": sample["rate"] * rows})
        result.loaded.append(server.memory())


def least_disturbed(server, request, connections, seconds) -> dict:
    """Warms up, and then measures up to TRIES times, until other programs use at most MAX_NOISE of the processors.
    Returns the measurement in which other programs used the least."""
    server.load(request, connections, WARM_UP_SECONDS)
    best = None
    for _ in range(TRIES):
        sample = server.load(request, connections, seconds)
        if best is None or sample["others"] < best["others"]:
            best = sample
        if best["others"] <= MAX_NOISE:
            break
    if errors := best["refused"] + best["broken"]:
        raise Failure(f"{errors} errors on {connections} connections")
    return best


def size_of(peer, built: Path) -> float:
    """Returns the size of the program on disk in MB. For a Python server, returns the size of its packages."""
    if not peer.folder:
        return Path(peer.command[0].format(built=built)).stat().st_size / 1e6
    files = (ENVIRONMENTS / peer.folder).rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
