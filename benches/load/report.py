"""Prints the results as Markdown and as a plot."""

import os
import statistics
import sys
from datetime import date
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS = "ml-app"
BINARY = "ml-app, OIP binary"
DEFAULT = "ml-app, default model"
CEILING = "actix-web ceiling"
FASTAPI = "FastAPI, ONNX Runtime"
FASTAPI_BINARY = "FastAPI, binary"
GUNICORN = "Flask, gunicorn"


def markdown(model: str, results: dict, arguments) -> str:
    """Returns the table, the targets, and the conditions of the measurement."""
    columns = ["", "cold start", "memory, idle", "memory, after load"]
    for connections in arguments.connections:
        columns += [f"requests/s, {connections} connection{'s' * (connections > 1)}", "p50", "p99"]
    columns += [f"rows/s, bodies of {rows:,} rows" for rows in arguments.batches] + ["size"]
    lines = [row(columns), row(["---", *["--:"] * (len(columns) - 1)])]
    fastest = max(arguments.connections)
    for name, result in sorted(results.items(), key=lambda entry: -rate(entry[1], fastest)):
        lines.append(row(cells(name, result, arguments, len(columns))))
    conditions = f"{date.today()}, {machine()}; the model is {model}; {arguments.rounds} rounds."
    lines += ["", *targets(results, arguments), "", conditions]
    return "\n".join(lines)


def cells(name: str, result, arguments, width: int) -> list[str]:
    """Returns the `width` cells of a server's row."""
    if result.failure:
        return [name, f"failed: {result.failure.splitlines()[0]}", *[""] * (width - 2)]
    found = [name, duration(min(result.cold_start)), memory(result.idle), memory(result.loaded)]
    for connections in arguments.connections:
        samples = result.single[connections]
        found += [f"{rate(result, connections):,.0f}", *(duration(median(samples, name)) for name in ("p50", "p99"))]
    found += [f"{batch(result, rows):,.0f}" for rows in arguments.batches]
    return [*found, f"{result.size:,.0f} MB"]


def row(values: list[str]) -> str:
    """Returns a row of a Markdown table."""
    return f"| {' | '.join(values)} |"


def targets(results: dict, arguments) -> list[str]:
    """Returns the lines of a table. Each row contains a ratio between two servers, and its target."""
    connections = max(arguments.connections)
    rates = (f"requests/s, {connections} connections", lambda result: rate(result, connections))
    rows = ("rows/s, bodies of 10,000 rows", lambda result: batch(result, 10_000))
    ratios = [(BINARY, FASTAPI_BINARY, *rates, 0.9, AT_LEAST)]
    if DEFAULT in results:
        ratios += [(OURS, DEFAULT, *rates, 0.9, AT_LEAST)]
    else:
        p99 = ("p99, 16 connections", lambda result: median(result.single[16], "p99"))
        ratios += [
            (OURS, CEILING, *rates, 0.95, AT_LEAST),
            (OURS, FASTAPI, *rates, 20, AT_LEAST),
            (OURS, GUNICORN, *rates, 40, AT_LEAST),
            (OURS, CEILING, *p99, 1.2, AT_MOST),
            (OURS, CEILING, *rows, 1, AT_LEAST),
            *((OURS, name, *rows, 3, AT_LEAST) for name in best_of_json(results)),
            (BINARY, OURS, *rows, 3, AT_LEAST),
        ]
    lines = [row(["", "measured", "target", ""]), row(["---", "--:", "--:", "---"])]
    for ours, other, what, value, target, relation in ratios:
        try:
            found = value(results[ours]) / value(results[other])
        except (KeyError, ZeroDivisionError):
            continue
        met = found >= target if relation == AT_LEAST else found <= target
        lines.append(row([f"{what}: {ours} / {other}", f"{found:.2f}×", f"{relation} {target}×", verdict(met)]))
    if OURS in results and DEFAULT not in results and results[OURS].loaded:
        found = statistics.median(results[OURS].loaded)
        lines.append(row(["memory after load", f"{found:.1f} MB", "≤ 20 MB", verdict(found <= 20)]))
    return lines


AT_LEAST, AT_MOST = "≥", "≤"


def verdict(met: bool) -> str:
    return "met" if met else "missed"


def best_of_json(results: dict) -> list[str]:
    """Returns the name of the Python server that processes the most rows of JSON per second. The list is empty if no
    Python server was measured."""
    ours = (OURS, CEILING, *(name for name in results if "binary" in name or name.startswith(OURS)))
    others = [name for name in results if name not in ours and results[name].batches.get(10_000)]
    return sorted(others, key=lambda name: batch(results[name], 10_000))[-1:]


def plot(results: dict, arguments) -> None:
    """Plots four figures side by side, on logarithmic scales."""
    shown = {
        name: result
        for name, result in results.items()
        if not result.failure and ("," not in name or name in (FASTAPI, GUNICORN))
    }
    connections = max(arguments.connections)
    names = sorted(shown, key=lambda name: rate(shown[name], connections))
    if not names:
        return print("no plot: no server for the plot was measured", file=sys.stderr)
    panels = [
        (f"requests/s, one row, {connections} connections", lambda result: rate(result, connections), "{:,.0f}"),
        ("cold start, ms", lambda result: min(result.cold_start) * 1e3, "{:,.0f}"),
        ("memory after load, MB", lambda result: statistics.median(result.loaded), "{:,.0f}"),
        ("size, MB", lambda result: result.size, "{:,.0f}"),
    ]
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ml-app", "font.family": "sans-serif", "font.size": 9})
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 0.34 * len(names) + 0.9), sharey=True)
    for axis, (title, value, form) in zip(axes, panels, strict=True):
        values = [value(shown[name]) for name in names]
        colors = ["#0b7285" if name == OURS else "#adb5bd" for name in names]
        bars = axis.barh(names, values, color=colors, height=0.7)
        axis.bar_label(bars, [form.format(value) for value in values], padding=3, color="#495057")
        axis.set_xscale("log")
        axis.set_xlim(min(values) / 2, max(values) * 6)
        axis.set_title(title, fontsize=9, loc="left")
        axis.xaxis.set_visible(False)
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    figure.savefig(arguments.svg, metadata={"Date": None}, facecolor="white")


def rate(result, connections: int) -> float:
    """Returns the median of the requests per second with one row; 0 if it was not measured."""
    samples = result.single.get(connections)
    return median(samples, "rate") if samples else 0.0


def batch(result, rows: int) -> float:
    """Returns the median of the rows per second for bodies of `rows` rows."""
    return median(result.batches[rows], "rate")


def median(samples: list[dict], name: str) -> float:
    return statistics.median(sample[name] for sample in samples)


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.1f} s"


def memory(samples: list[float]) -> str:
    return f"{statistics.median(samples):,.0f} MB"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} processors, {model}"
