# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What ``genro-executor demo`` shows: a real server, real PDF reports, real HTTP.

::

    run.py                the demo from start to end
    ├── scenes.py         reports in workers and in the server, then three kinds of trouble
    │   └── client.py     HTTP: many requests at a time, and a steady beat of pings
    ├── findings.py       what a scene found, and how a person reads it
    └── server.py         the server's process: started, found on its port, ended
        └── application.py    the reports, and how late the event loop is
            └── pdf.py        one report

``application.py`` is the example; everything else watches it.
"""

from __future__ import annotations

from ...options.keywords import PoolDeclaration

__all__ = ["LIMIT_SECONDS", "MAX_PENDING", "POOLS", "WORKERS"]

WORKERS = 2
MAX_PENDING = 6

POOLS: dict[str, PoolDeclaration] = {
    "pdf": {"max_workers": WORKERS, "max_pending": MAX_PENDING, "shutdown_timeout": 3.0}
}
"""The pools of the example, for its server and for those who watch it."""

LIMIT_SECONDS = 1.0
"""How long a call of ``/endless`` may run."""
