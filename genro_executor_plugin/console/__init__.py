# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``ExecutorConsole``: see the pools of a server, and steer them while it serves."""

from __future__ import annotations

from .application import ExecutorConsole

__all__ = ["ExecutorConsole"]
