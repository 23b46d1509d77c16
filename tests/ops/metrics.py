"""The names that Prometheus knows our metrics by, from observability/metrics.md."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def listed():
    """Each metric of the list and its kind."""
    text = (ROOT / "observability/metrics.md").read_text()
    return dict(re.findall(r"^\| `(immune_\w+)` \| (\w+) \|", text, re.M))


def names():
    """The names of the samples: `_total` for counters; `_bucket`, `_sum` and `_count` for histograms."""
    endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + ending for name, kind in listed().items() for ending in endings[kind]}


def used(text):
    """Names of metrics in an expression; what a pattern over names means is spelled out."""
    for pattern in re.findall(r'__name__=~"([^"]+)"', text):
        choices = [name for name in names() if re.fullmatch(pattern, name)]
        text += " ".join(choices or [pattern])
    return set(re.findall(r"\bimmune_\w+", re.sub(r'"[^"]*"', "", text)))
