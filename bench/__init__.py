"""Launchpad's benchmarks: `python -m bench` (or `make bench`). Not part of the wheel.

upstream.py   an OpenAI-compatible server that is never the bottleneck
load.py       the clients: they count tokens and time each one
process.py    servers as pinned child processes: CPU time, memory, stopping
subjects/     what is measured: Launchpad and its peers, each in its own environment
measures.py   what is measured about a subject
startup.py    how long the commands take to start
floor.py      what pydantic-ai itself costs, in process
profiling.py  where a token's time goes
report.py     medians, ratios, the Markdown table and the plot
"""
