# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A profile as a file for https://www.speedscope.app, and as a page of its own with a flame graph.

The page has everything in it, and fetches nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from ..metrics.profiles import Frame, WorkerProfile

__all__ = ["facts_of", "hottest_lines", "page_of", "speedscope_of"]

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"

_MOST_STACKS = 5_000
"""How many different stacks a file has at most, those with the most samples."""


def speedscope_of(path: str, profiles: Iterable[WorkerProfile], rate: int) -> dict[str, Any]:
    """The samples of all processes together as a document in speedscope's format."""
    counts: Counter[tuple[Frame, ...]] = Counter()
    for profile in profiles:
        counts.update(profile.stacks)
    kept = dict(counts.most_common(_MOST_STACKS))
    numbers: dict[Frame, int] = {}
    samples, weights = [], []
    # In the order of their frames, so that what belongs together stands together.
    for stack in sorted(kept):
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in stack])
        weights.append(round(kept[stack] / rate, 6))
    frames = [
        {"name": frame.function, **({"file": frame.file, "line": frame.line} if frame.file else {})}
        for frame in numbers
    ]
    return {
        "$schema": _SCHEMA,
        "name": path,
        "exporter": "genro-executor-plugin",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": [
            {
                "type": "sampled",
                "name": path,
                "unit": "seconds",
                "startValue": 0,
                "endValue": round(sum(weights), 6),
                "samples": samples,
                "weights": weights,
            }
        ],
    }


def facts_of(profiles: Iterable[WorkerProfile]) -> list[dict[str, Any]]:
    """What is to be known of the samples of each process, without the samples."""
    return [
        {
            "pid": profile.pid,
            "samples": profile.stacks.total(),
            "looks": profile.looks,
            "missed": profile.missed,
            "dropped": profile.dropped,
            "why_not": profile.why_not,
        }
        for profile in profiles
    ]


def hottest_lines(document: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    """The share of the time at each line itself, by a speedscope file; the largest first."""
    frames = document["shared"]["frames"]
    (profile,) = document["profiles"]
    own: Counter[int] = Counter()
    for stack, weight in zip(profile["samples"], profile["weights"], strict=True):
        own[stack[-1]] += weight
    total = sum(own.values())
    return [(weight / total, frames[number]) for number, weight in own.most_common()]


def page_of(document: dict[str, Any]) -> str:
    """The page with the flame graph of ``document``, which is a speedscope file."""
    folder = files(__package__).joinpath("resources")
    parts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in _PARTS}
    # No text in it can end the element that it stands in.
    data = json.dumps(document).replace("<", "\\u003c")
    page = parts["flame.html"]
    for mark, text in (
        ("/* flame.css */", parts["flame.css"]),
        ("/* flame.js */", parts["flame.js"]),
        ("null /* profile */", data),
    ):
        page = page.replace(mark, text)
    return page


_PARTS = ("flame.html", "flame.css", "flame.js")
