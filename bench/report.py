"""Medians and ratios, as a Markdown table and a plot."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.subjects import SERVERS, SUBJECTS
from bench.subjects.environments import python, versions

__all__ = ["machine", "markdown", "medians", "plot", "table", "version_line"]

Medians = Mapping[str, Mapping[str, float]]
BASELINE = "bare"
SATURATED = 0.9


def medians(figures: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """The median of each figure over the rounds."""
    return {
        subject: {name: statistics.median(values) for name, values in named.items()}
        for subject, named in figures.items()
    }


@dataclass(frozen=True)
class Column:
    """One column of the table: a figure, how it is written, and whether a ratio to bare follows."""

    title: str
    figure: str
    form: str = ",.0f"
    ratio: bool = False


COLUMNS = (
    Column("tokens/s", "tokens_per_s", ratio=True),
    Column("CPU a token, µs", "cpu_us_per_token", ",.1f"),
    Column("first token, ms", "first_token_ms", ".2f"),
    Column("CPU a request, ms", "cpu_ms_per_request", ".2f"),
    Column("added p50, ms", "added_p50_ms", ",.2f"),
    Column("added p99, ms", "added_p99_ms", ",.1f"),
    Column("streams held", "held_streams"),
    Column("KiB an idle stream", "idle_kib_per_stream", ".0f"),
)


CONDITIONS = (
    "Tokens/s and CPU a token: 32 streams of 500 tokens, as fast as they go, every token its own "
    "chunk of the upstream's and, where no debounce is named, of the server's. First token and CPU "
    "a request: one client, one token, medians. Added: what a token takes longer from the "
    "upstream's write to the client's read, 100 streams of 50 tokens/s. Held: the most such "
    "streams, all begun within one second, at p99 ≤ 20 ms."
)


def machine() -> str:
    """What the figures were taken on: processor, cores, kernel, Python. Names no host."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{model}, {os.cpu_count()} cores, {system}, CPython {platform.python_version()}"


def version_line(subjects: Sequence[str]) -> list[str]:
    """For each environment used: `name: package version, …`."""
    lines = {}
    for subject in subjects:
        kind = SUBJECTS[subject].server
        if kind:
            environment = SERVERS[kind].environment
            found = versions(environment)
            named = ", ".join(f"{name} {number}" for name, number in found.items())
            lines[environment or "Launchpad and bare uvicorn"] = named
    return [f"{environment}: {named}" for environment, named in lines.items()]


def _cell(column: Column, named: Mapping[str, float], base: Mapping[str, float]) -> str:
    value = named.get(column.figure)
    if value is None:
        return ""
    text = format(value, column.form)
    if column.ratio and base.get(column.figure):
        text += f" ({value / base[column.figure]:.3g} ×)"
    if column.figure == "tokens_per_s":
        text += " †" if _saturated(named) else " ‡" if _disturbed(named) else ""
    return text


def _saturated(named: Mapping[str, float]) -> bool:
    """Whether the clients' core, not the server's, set the pace."""
    others = named.get("load_share", 0) + named.get("upstream_share", 0)
    return others > SATURATED and named.get("server_share", 1) < SATURATED


def _disturbed(named: Mapping[str, float]) -> bool:
    """Whether the server did not get its core although the clients had room."""
    return named.get("server_share", 1) < SATURATED and not _saturated(named)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table's lines; all columns but the first are numbers."""
    lines = ["| " + " | ".join(headers) + " |"]
    lines.append("| --- |" + " ---: |" * (len(headers) - 1))
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def markdown(
    found: Medians,
    *,
    rounds: int,
    quick: bool,
    stays_awake: bool = False,
    failures: Sequence[str] = (),
    startup: Mapping[str, float] | None = None,
    floor: Mapping[str, float] | None = None,
) -> str:
    """The whole report."""
    base = found.get(BASELINE, {})
    rows = [
        [SUBJECTS[name].title, *(_cell(column, named, base) for column in COLUMNS)]
        for name, named in found.items()
        if any(column.figure in named for column in COLUMNS)
    ]
    kind = "One quick round" if quick else f"Medians of {rounds} interleaved rounds"
    idle = "Idle cores stayed awake." if stays_awake else "Idle cores halted."
    lines = [f"{kind}; the server alone on one core. {idle} {machine()}.", ""]
    lines += [*table(["", *(column.title for column in COLUMNS)], rows), "", CONDITIONS]
    if any(_saturated(named) for named in found.values()):
        lines += ["", "† The clients' core was the limit: CPU a token is the server's figure."]
    if any(_disturbed(named) for named in found.values()):
        lines += [
            "",
            "‡ Something else took the server's core: go by CPU a token.",
        ]
    lines += _structured(found) + _workers(found)
    lines += _pairs("In process, without a server", floor) + _pairs("Starting", startup)
    lines += ["", "Versions:", ""] + [f"- {line}" for line in version_line(list(found))]
    if failures:
        lines += ["", "What failed:", ""] + [f"- {line}" for line in failures]
    return "\n".join(lines) + "\n"


def _structured(found: Medians) -> list[str]:
    sizes = sorted(
        {
            int(name.rpartition("_")[2].removesuffix("k"))
            for named in found.values()
            for name in named
            if name.startswith("json_cpu")
        }
    )
    if not sizes:
        return []
    rows = []
    for name, named in found.items():
        if any(figure.startswith("json_") for figure in named):
            cells = [
                f"{named.get(f'json_cpu_us_per_delta_{size}k', float('nan')):.2f}" for size in sizes
            ]
            cells += [
                f"{named.get(f'json_bytes_per_document_byte_{size}k', float('nan')):.0f}"
                for size in sizes
            ]
            rows.append([SUBJECTS[name].title, *cells])
    headers = ["structured, by document"]
    headers += [f"CPU a delta at {size} KB, µs" for size in sizes]
    headers += [f"bytes sent a byte at {size} KB" for size in sizes]
    return ["", *table(headers, rows)]


def _workers(found: Medians) -> list[str]:
    rows = [
        [
            SUBJECTS[name].title,
            f"{named['tokens_per_s_on_1']:,.0f}",
            f"{named['tokens_per_s_on_2']:,.0f}",
            f"{named['two_worker_ratio']:.2f}",
        ]
        for name, named in found.items()
        if "two_worker_ratio" in named
    ]
    if not rows:
        return []
    headers = ["clients on the same cores", "tokens/s, 1 worker on 1 core", "2 on 2", "ratio"]
    return ["", *table(headers, rows)]


def _pairs(title: str, figures: Mapping[str, float] | None) -> list[str]:
    if not figures:
        return []
    return ["", *table([title, "median"], [[k, f"{v:,.3g}"] for k, v in figures.items()])]


def plot(found: Medians, path: Path) -> None:
    """Draw the main figures as a PNG, in an environment that has matplotlib."""
    subjects = [
        {"title": SUBJECTS[name].title, "ours": name.startswith("launchpad"), "figures": named}
        for name, named in found.items()
    ]
    subprocess.run(
        [python("plot"), Path(__file__).with_name("plotting.py"), path.absolute()],
        input=json.dumps({"machine": machine(), "subjects": subjects}),
        text=True,
        check=True,
    )
