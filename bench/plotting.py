"""Draws the report's plot. A program of its own, run in an environment that has matplotlib.

Args: where the PNG goes. Reads JSON from stdin:
`{"machine": str, "subjects": [{"title": str, "ours": bool, "figures": {name: value}}]}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

PANELS = (
    ("tokens_per_s", "tokens/s on one core, flat out", "{:,.0f}"),
    ("first_token_ms", "time to first token, ms", "{:.2f}"),
    ("held_streams", "streams of 50 tokens/s held on one core (p99 ≤ 20 ms)", "{:,.0f}"),
)
OURS, OTHERS = "#c2410c", "#94a3b8"


def draw(found: dict[str, Any], path: Path) -> None:
    """Panels of bars on logarithmic scales, the best at the top."""
    subjects = found["subjects"]
    panels = [panel for panel in PANELS if any(panel[0] in one["figures"] for one in subjects)]
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 4.6), squeeze=False)
    for axis, (name, title, form) in zip(axes[0], panels, strict=True):
        shown = [one for one in subjects if one["figures"].get(name)]
        shown.sort(key=lambda one: one["figures"][name], reverse=name == "first_token_ms")
        values = [one["figures"][name] for one in shown]
        bars = axis.barh(
            [one["title"].replace("`", "") for one in shown],
            values,
            color=[OURS if one["ours"] else OTHERS for one in shown],
        )
        axis.bar_label(bars, [" " + form.format(value) for value in values], fontsize=8)
        axis.set_xscale("log")
        axis.margins(x=0.3)
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.text(0.01, 0.01, found["machine"], fontsize=7, color="#64748b")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    draw(json.load(sys.stdin), Path(sys.argv[1]))
