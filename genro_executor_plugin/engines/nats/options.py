# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options that only a pool of agents has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...options.kinds import EngineOption
from ...remote.access import check_file, check_url
from ...remote.subjects import check_subject

__all__ = ["AGENT_OPTIONS", "OWN_OPTIONS", "SHARED_OPTIONS"]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("give True or False")
    return value


def _lost_after(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 3600:
        raise ValueError("give a number of seconds from 1 to 3600")
    return float(value)


OWN_OPTIONS: Mapping[str, EngineOption] = {
    "url": EngineOption(check_url),
    "subject": EngineOption(check_subject),
    "secret_file": EngineOption(check_file, default=None),
    "insecure": EngineOption(_flag, default=False),
    "lost_after": EngineOption(_lost_after, default=5.0),
    **{
        name: EngineOption(check_file, default=None)
        for name in ("credentials", "nkey", "login", "tls_ca", "tls_cert", "tls_key")
    },
}
"""The options by name; ``remote.access.Access`` says what those about the connection mean.
``lost_after`` is after how many seconds without a sign of life an agent is given up."""

SHARED_OPTIONS = tuple(name for name in OWN_OPTIONS if name != "lost_after")
"""Those that a pool and its agents have alike; each side gives the other up by its own clock."""

AGENT_OPTIONS = (*OWN_OPTIONS, "places", "modules", "files", "health_port", "health_host")
"""The options of an agent itself; all others are of its pool of processes."""
