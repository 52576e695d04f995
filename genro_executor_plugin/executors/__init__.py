# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The kinds of pools: one contract, and what each kind can keep of it."""

from .base import (
    BaseExecutor,
    BoundExecutor,
    Call,
    Message,
)
from .inline import InlineExecutor
from .process import ProcessExecutor
from .thread import ThreadExecutor

__all__ = [
    "BaseExecutor",
    "BoundExecutor",
    "Call",
    "InlineExecutor",
    "Message",
    "ProcessExecutor",
    "ThreadExecutor",
]
