# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""OpenTelemetry, where it is loaded: a span for every call, and its trace in the worker.

Nothing here imports it unless it is loaded already, so that a server without it pays nothing. The
span tells how long the call waited and how long it ran; spans that the function starts in a
worker are its children.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["MODULE", "attached", "call_span", "current_trace"]


MODULE = "opentelemetry.trace"
"""It is in ``sys.modules`` of a process that uses OpenTelemetry."""


def current_trace() -> Mapping[str, str]:
    """The current trace as the propagators write it; empty if there is none."""
    if MODULE not in sys.modules:
        return {}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def attached(trace: Mapping[str, str]) -> Iterator[None]:
    """Make ``trace`` the current one in this block."""
    if not trace:
        yield
        return
    try:
        from opentelemetry import context, propagate
    except ImportError:
        yield  # the worker cannot make spans; nothing is lost
        return
    token = context.attach(propagate.extract(trace))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def call_span(name: str, attributes: Mapping[str, Any]) -> Iterator[Any]:
    """The span of a call; an exception is recorded in it."""
    from opentelemetry import trace

    tracer = trace.get_tracer("genro_executor_plugin")
    with tracer.start_as_current_span(name, attributes=dict(attributes)) as span:
        yield span
