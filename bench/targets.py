"""The project's targets for speed, beside what was measured: ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.report import Medians, table

__all__ = ["TARGETS", "Target", "markdown"]

AGENT_CPU = "`agent.run_stream`, null model: CPU a run, ms"
AGENT_FIRST = "`agent.run_stream`, null model: first token, ms"
FIRST_ANSWER = "that, in terms of the imports"
HELP = "`launchpad --help`, s"


class _Figures:
    """Look-ups; a figure that was not measured raises KeyError."""

    def __init__(self, found: Medians, *more: Mapping[str, float]) -> None:
        self._found = found
        self._more = {name: value for one in more for name, value in one.items()}

    def of(self, subject: str, name: str) -> float:
        return self._found[subject][name]

    def ratio(self, subject: str, other: str, name: str) -> float:
        return self.of(subject, name) / self.of(other, name)

    def least(self, subjects: Sequence[str], name: str) -> float:
        values = [self._found[one][name] for one in subjects if name in self._found.get(one, {})]
        if not values:
            raise KeyError(name)
        return min(values)

    def other(self, name: str) -> float:
        return self._more[name]


@dataclass(frozen=True)
class Target:
    """`value` must be at least (`least`) or at most `limit`."""

    text: str
    limit: float
    value: Callable[[_Figures], float]
    least: bool = False


_PEERS = ("litellm", "agent", "hayhooks", "tutorial")


def _peers_best(name: str) -> Callable[[_Figures], float]:
    """Launchpad's agent node in terms of the best Python peer."""
    return lambda f: f.of("launchpad", name) / f.least(_PEERS, name)


def _first_over_upstream(subject: str) -> Callable[[_Figures], float]:
    return lambda f: f.of(subject, "first_token_ms") - f.of("upstream", "first_token_ms")


def _flatness(subject: str) -> Callable[[_Figures], float]:
    name = "json_cpu_us_per_delta_"
    return lambda f: f.of(subject, f"{name}100k") / f.of(subject, f"{name}1k")


_FLAT = "tokens_per_s"
_JSON = "json_cpu_us_per_delta_10k"

TARGETS = (
    Target("tokens/s, in terms of bare", 0.8, lambda f: f.ratio("launchpad", "bare", _FLAT), True),
    Target("tokens/s, in terms of LiteLLM's", 40,
           lambda f: f.ratio("launchpad", "litellm", _FLAT), True),
    Target("tokens/s, in terms of Hayhooks'", 12,
           lambda f: f.ratio("launchpad", "hayhooks", _FLAT), True),
    Target("tokens/s with the default debounce, in terms of bare", 1.0,
           lambda f: f.ratio("launchpad-debounce", "bare", _FLAT), True),
    Target("`chat` tokens/s with the default debounce, in terms of bare", 2.0,
           lambda f: f.ratio("launchpad-chat-debounce", "bare", _FLAT), True),
    Target("agent node: CPU a request above `agent.run_stream`, ms", 0.4,
           lambda f: f.of("launchpad", "cpu_ms_per_request") - f.other(AGENT_CPU)),
    Target("agent node: first token above `agent.run_stream`, ms", 0.4,
           lambda f: f.of("launchpad", "first_token_ms") - f.other(AGENT_FIRST)),
    Target("agent node: first token, in terms of the best peer's", 1.0,
           _peers_best("first_token_ms")),
    Target("agent node: CPU a request, in terms of the best peer's", 1.0,
           _peers_best("cpu_ms_per_request")),
    Target("node without agent: CPU a request, ms", 0.3,
           lambda f: f.of("launchpad-plain", "cpu_ms_per_request")),
    Target("node without agent: first token, ms", 0.3,
           lambda f: f.of("launchpad-plain", "first_token_ms")),
    Target("`chat`: CPU a request, ms", 0.35,
           lambda f: f.of("launchpad-chat", "cpu_ms_per_request")),
    Target("`chat`: first token above the upstream's own, ms", 0.35,
           _first_over_upstream("launchpad-chat")),
    Target("100 streams: added p50, ms", 0.2, lambda f: f.of("launchpad", "added_p50_ms")),
    Target("100 streams: added p99, in terms of bare", 2.0,
           lambda f: f.ratio("launchpad", "bare", "added_p99_ms")),
    Target("streams held, agent node", 150, lambda f: f.of("launchpad", "held_streams"), True),
    Target("streams held, `chat`", 500, lambda f: f.of("launchpad-chat", "held_streams"), True),
    Target("KiB an open idle stream", 60, lambda f: f.of("launchpad", "idle_kib_per_stream")),
    Target("open streams alive", 5000, lambda f: f.of("launchpad", "idle_alive"), True),
    Target("structured fragments: CPU a delta above text, µs", 0.5,
           lambda f: f.of("launchpad-json", _JSON) - f.of("launchpad-text-json", _JSON)),
    Target("`valid_json_chunks`: CPU a delta above fragments, µs", 3.0,
           lambda f: f.of("launchpad-valid-json", _JSON) - f.of("launchpad-json", _JSON)),
    Target("`valid_json_chunks`: 100 KB in terms of 1 KB", 1.2, _flatness("launchpad-valid-json")),
    Target("two workers in terms of one", 1.8, lambda f: f.of("launchpad", "two_worker_ratio"),
           True),
    Target("`launchpad --help`, s", 0.3, lambda f: f.other(HELP)),
    Target("first answer in terms of the bare imports", 1.3, lambda f: f.other(FIRST_ANSWER)),
)  # fmt: skip


def markdown(found: Medians, *more: Mapping[str, float]) -> str:
    """A table of the targets whose figures are there; empty when there is none."""
    figures = _Figures(found, *more)
    rows = []
    for target in TARGETS:
        try:
            value = target.value(figures)
        except KeyError:
            continue
        met = value >= target.limit if target.least else value <= target.limit
        sign = "≥" if target.least else "≤"
        rows.append(
            [target.text, f"{sign} {target.limit:,g}", f"{value:,.3g}", "yes" if met else "no"]
        )
    return "\n".join(["", *table(["target", "", "measured", "met"], rows), ""]) if rows else ""
