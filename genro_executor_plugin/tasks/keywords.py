# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of a long job, for editors and type checkers; ``TaskOptions`` describes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

__all__ = ["TaskKeywords"]


class TaskKeywords(TypedDict, total=False):
    """The options of one long job."""

    pool: str | None
    timeout: float | None
    retries: int
    backoff: float
    priority: int
    key: str | None
    eta: datetime | timedelta | float | None
    keep: float | None
    repeatable: bool
    durable: bool
    submitter: str | None
