"""`python -m bench`: Launchpad beside its peers, on this machine, now.

Builds the peers' environments the first time, runs interleaved rounds with the server alone on
one core, and writes the table, the raw figures and the plot to `bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from bench import measures, report, startup, targets
from bench.awake import awake
from bench.process import cores, raise_file_limit
from bench.runner import Plan, Results, run, start_upstream
from bench.subjects import SUBJECTS

RESULTS = Path(__file__).resolve().parent / "results"
MEASURES = ("one_token", "flat", "paced", "ramp", "structured", "idle_memory", "workers")
ELSEWHERE = ("startup", "floor")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (3; quick: 1)")
    parser.add_argument("--only", metavar="SUBJECT,…", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument(
        "--measure", metavar="NAME,…", help=f"of {', '.join((*MEASURES, *ELSEWHERE))}"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder (bench/results/)")
    parser.add_argument("--plot", type=Path, help="where to draw the plot (in that folder)")
    parser.add_argument("--no-plot", action="store_true", help="draw none")
    parser.add_argument(
        "--halting", action="store_true", help="let idle cores halt, as a system does by itself"
    )
    parser.add_argument(
        "--profile", action="store_true", help="say where a token's time goes, and stop"
    )
    return parser.parse_args(argv)


def _plan(options: argparse.Namespace) -> tuple[Plan, set[str]]:
    names = (
        options.only.split(",") if options.only else [s for s in SUBJECTS if SUBJECTS[s].default]
    )
    asked = options.measure.split(",") if options.measure else [*MEASURES, *ELSEWHERE]
    for name, known in [(n, SUBJECTS) for n in names] + [
        (m, (*MEASURES, *ELSEWHERE)) for m in asked
    ]:
        if name not in known:
            raise SystemExit(f"Unknown name {name!r}; known are {', '.join(known)}.")
    plan = Plan(
        subjects=[SUBJECTS[name] for name in names],
        measures=[name for name in MEASURES if name in asked],
        rounds=options.rounds or (1 if options.quick else 3),
        quick=options.quick,
    )
    elsewhere = {name for name in ELSEWHERE if name in asked}
    if options.only and not any(name.startswith("launchpad") for name in names):
        elsewhere.discard("startup")
    return plan, elsewhere


def _floor(quick: bool) -> dict[str, float]:
    core, _ = cores()
    finished = subprocess.run(
        [sys.executable, "-m", "bench.floor", "50" if quick else "500"],
        check=True,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    found: dict[str, float] = json.loads(finished.stdout)
    return found


def _startup(results: Results, quick: bool) -> dict[str, float]:
    server_core, load_core = cores()
    with start_upstream(load_core) as upstream:
        try:
            return startup.measure(server_core, upstream, rounds=3 if quick else 7)
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            results.failures.append(f"startup: {measures.failure_text(error)}")
            return {}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask; 1 where something could not be measured."""
    options = _arguments(argv)
    raise_file_limit()
    if options.profile:
        from bench import profiling

        print(profiling.run(quick=options.quick))
        return 0
    with nullcontext(False) if options.halting else awake() as stays_awake:
        return _measure(options, stays_awake)


def _measure(options: argparse.Namespace, stays_awake: bool) -> int:
    all_cores = os.sched_getaffinity(0)
    plan, elsewhere = _plan(options)
    results = run(plan) if plan.measures else Results()
    os.sched_setaffinity(0, all_cores)
    floor = _floor(options.quick) if "floor" in elsewhere else None
    started = _startup(results, options.quick) if "startup" in elsewhere else None
    found = report.medians(results.figures)
    text = report.markdown(
        found,
        rounds=plan.rounds,
        quick=plan.quick,
        stays_awake=stays_awake,
        failures=results.failures,
        startup=started,
        floor=floor,
    )
    text += targets.markdown(found, floor or {}, started or {})
    more = {"floor": floor, "startup": started, "awake": stays_awake}
    _write(options, results, text, found, more)
    print("\n" + text)
    return 1 if results.failures else 0


def _write(
    options: argparse.Namespace,
    results: Results,
    text: str,
    found: dict[str, dict[str, float]],
    more: dict[str, object],
) -> None:
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    stem = time.strftime("%Y%m%d-%H%M%S")
    raw = {"machine": report.machine(), "rounds": results.figures, "failures": results.failures}
    (folder / f"{stem}.json").write_text(json.dumps(raw | more, indent=1))
    (folder / f"{stem}.md").write_text(text)
    if options.no_plot:
        return
    try:
        report.plot(found, options.plot or folder / f"{stem}.png")
    except subprocess.CalledProcessError as error:
        print(f"No plot: {error}")


if __name__ == "__main__":
    raise SystemExit(main())
