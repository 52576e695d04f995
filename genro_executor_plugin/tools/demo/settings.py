# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pools of the example and its limits, for the server and for those who watch it."""

from __future__ import annotations

from typing import Any

__all__ = ["LIMIT_SECONDS", "POOLS"]

POOLS: dict[str, dict[str, Any]] = {
    "pdf": {"max_workers": 2, "max_pending": 6, "shutdown_timeout": 3.0}
}

LIMIT_SECONDS = 1.0
"""How long ``/endless`` may run."""
