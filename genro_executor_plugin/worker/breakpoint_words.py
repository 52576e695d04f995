# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a call says to the server of a breakpoint that it has come to."""

from __future__ import annotations

__all__ = ["ATTACHED", "BREAKPOINT", "ENDED", "GOES_ON", "HELD", "PASSED", "WAITS"]

BREAKPOINT = "genro-executor.breakpoint"
"""The channel: a message has one of the words below, a place in the source, and a text or a number
of seconds."""

WAITS = "waits"
"""It waits for a debugger, for so many seconds at most."""

ATTACHED = "attached"
"""A debugger is there."""

HELD = "held"
"""There is a prompt."""

GOES_ON = "goes on"
"""It runs on to its next breakpoint, or to its end."""

PASSED = "passed"
"""It goes on without a debugger; the text says why."""

ENDED = "ended"
"""The debugger is there no more."""
