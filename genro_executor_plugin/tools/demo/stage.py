# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What every scene of the demo plays on, and how it knows a report when it sees one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from .client import Answer, Client

__all__ = ["LEAST_PAGES", "Stage", "in_ms", "is_report", "report_path"]

LEAST_PAGES = 3
_LEAST_BYTES = 5_000


@dataclass(slots=True)
class Stage:
    """What a scene plays on.

    Attributes:
        client: asks the server.
        server_pid: the server's process.
        reports: how many reports to make for a measurement.
        progress: told what is going on.
    """

    client: Client
    server_pid: int
    reports: int
    progress: Callable[[str], None]


def report_path(number: int) -> str:
    """Where to ask for the report of branch ``number``."""
    return f"/report?title={quote(f'Sales of branch {number + 1}')}"


def is_report(answer: Answer) -> bool:
    """Whether this is the PDF of a report, all of it."""
    return answer.status == 200 and answer.pages >= LEAST_PAGES and len(answer.body) >= _LEAST_BYTES


def in_ms(milliseconds: float) -> str:
    """A time to be read."""
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
