"""What a soak counts, and how it is shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Table:
    """What happened, and what is left."""

    started: int = 0
    completed: int = 0
    cut: int = 0
    """By their client: it left, or did not read."""
    errors: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    """What should not have happened."""
    tokens: int = 0
    lost: int = 0
    seconds: float = 0.0
    before: dict[str, int] = field(default_factory=dict[str, int])
    after: dict[str, int] = field(default_factory=dict[str, int])
    exit_code: int | None = None
    delays: list[float] = field(default_factory=list[float])
    """Seconds from a client's leaving to the upstream's noticing."""

    @property
    def left(self) -> dict[str, int]:
        return {what: self.after[what] - self.before[what] for what in ("tasks", "sockets")}

    @property
    def fine(self) -> bool:
        nothing_left = all(number <= 0 for number in self.left.values())
        return not self.lost and not self.wrong and nothing_left and self.exit_code == 0

    def __str__(self) -> str:
        rows = [
            ("streams started", f"{self.started:,} in {self.seconds:.0f} s"),
            ("completed", f"{self.completed:,}"),
            ("cut by their client", f"{self.cut:,}"),
            *((f"error {code}", f"{count:,}") for code, count in sorted(self.errors.items())),
            ("a leaver's upstream closed after", f"{_quantiles(self.delays)} ms"),
            ("tokens received", f"{self.tokens:,}"),
            ("tokens lost", f"{self.lost:,}"),
            ("memory at start", f"{self.before['memory'] / 1024:.1f} MiB"),
            ("memory at its peak", f"{self.after['peak'] / 1024:.1f} MiB"),
            ("memory at end", f"{self.after['memory'] / 1024:.1f} MiB"),
            ("tasks left", f"{self.left['tasks']}"),
            ("sockets left", f"{self.left['sockets']}"),
            ("exit code after SIGTERM", f"{self.exit_code}"),
        ]
        wide = max(len(name) for name, _ in rows)
        return "\n".join(f"| {name:<{wide}} | {value:>20} |" for name, value in rows)


def _quantiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    if not ordered:
        return "-"
    half, nearly_all = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"p50 {half * 1000:.1f}, p99 {nearly_all * 1000:.1f}"
