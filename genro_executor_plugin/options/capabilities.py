# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a kind of pool can do. Options are taken or refused by it, never by the kind's name."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Capability"]


class Capability(StrEnum):
    """One thing that some kinds of pools can do and others cannot."""

    KILLS = "kills"
    """A running call can be ended: its ``timeout`` and a cancelled caller stop the work."""

    INTERRUPTS = "interrupts"
    """``SoftTimeoutError`` can be raised inside a running call."""

    INITIALIZES = "initializes"
    """Workers run ``initializer`` before their first call and ``finalizer`` at their end."""

    CONTEXT = "context"
    """The caller's context variables (``context=``) are set while a call runs."""

    STREAMS = "streams"
    """A call can answer in chunks, with back-pressure."""

    ISOLATES = "isolates"
    """A crash ends one call and leaves the server and the other calls alone."""

    PORTABLE = "portable"
    """Calls leave the server's process: function, arguments and result have to serialize."""

    PAUSES = "pauses"
    """It can hold back the calls that it has admitted until it is resumed."""

    PROFILES = "profiles"
    """Samples can be taken of where the calls of a route spend their time."""

    RESIZES = "resizes"
    """``max_workers`` can change while it works."""

    WORKERS = "workers"
    """It has workers of its own, which are warmed, kept, listed, replaced and killed."""

    RECYCLES = "recycles"
    """It replaces workers by the number of their calls, by memory and by age, between calls."""

    PROCESSES = "processes"
    """Its workers are processes on this machine, made from a template that imports modules."""

    KEYS = "keys"
    """Calls with the same key meet the same worker while it lives."""

    PRELOADS = "preloads"
    """Its workers import the modules of ``preload`` before their first call."""

    AGENTS = "agents"
    """Its calls run on agents, which can be told one by one to finish their calls and end."""

    CONNECTS = "connects"
    """It has to start, or to reach something, before its first call; the server's start waits."""

    ABANDONS = "abandons"
    """It can stop waiting for a run that it cannot end (``abandon_on_timeout``)."""
