# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools by name, and what all kinds of pools do alike."""

from ..engines.call import Call, Message
from .base import BaseExecutor
from .bound import BoundExecutor
from .builtin import InlineExecutor, ProcessExecutor, ThreadExecutor

__all__ = [
    "BaseExecutor",
    "BoundExecutor",
    "Call",
    "InlineExecutor",
    "Message",
    "ProcessExecutor",
    "ThreadExecutor",
]
