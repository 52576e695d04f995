# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of long jobs, for editors and type checkers.

``TaskOptions`` and ``TaskSettings`` describe them.
"""

from __future__ import annotations

import os
from collections.abc import Set
from datetime import datetime, timedelta
from typing import Literal, TypedDict

__all__ = ["TaskKeywords", "TaskSettingsKeywords"]


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


class TaskSettingsKeywords(TypedDict, total=False):
    """The settings for all long jobs of a server, ``long_tasks={...}``."""

    path: str | os.PathLike[str] | None
    key_file: str | os.PathLike[str] | None
    accept_unsigned: bool
    pool: str
    keep: float
    cancel_grace: float
    shutdown_timeout: float
    synchronous: Literal["FULL", "NORMAL"]
    max_jobs_per_submitter: int
    max_bytes_per_submitter: int | str
    max_jobs_per_anonymous: int
    max_bytes_per_anonymous: int | str
    max_listeners_per_submitter: int
    max_call_bytes: int | str
    max_result_bytes: int | str
    max_bytes: int | str | None
    admin_tags: Set[str]
