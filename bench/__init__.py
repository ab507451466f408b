"""Launchpad's benchmarks: `python -m bench` (or `make bench`). Not part of the wheel.

completions.py  what the upstream sends, as bytes
upstream.py     an OpenAI-compatible server that is never the bottleneck
load.py         the clients: they count tokens and time each one
asking.py       one blocking request
process.py      servers as pinned child processes: CPU time, memory, stopping
subjects/       what is measured: Launchpad and its peers, each in its own environment
measures.py     what is measured about a subject; pace.py: with steady streams
runner.py       interleaved rounds of all of it
startup.py      how long the commands take to start
floor.py        what pydantic-ai itself costs, in process
stages.py       the pure stages of a token's way
budget.py       what they cost in instructions: the guard in tests/bench
profiling.py    where a token's time goes (`--profile`)
report.py       medians, ratios, the Markdown table; plotting.py: the plot
targets.py      the project's targets beside what was measured
"""
