# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One measurement: ``python -m benchmarks.probe MEASURE POOL LOOP SECONDS``.

It has a process of its own, and prints one line of JSON: the figures. This module stays light:
peers that start their workers afresh import it in each of them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

_STANDARD = (
    "concurrent.futures.process",
    "multiprocessing.forkserver",
    "multiprocessing.popen_forkserver",
)
_IMPORTS = dict.fromkeys(("fork", "forkserver", "spawn"), _STANDARD)


def main(measure: str, pool: str, loop: str, seconds: float) -> dict[str, float]:
    """The figures of ``measure``; ``pool`` is a key of ``PEERS``, ``-`` for a yardstick."""
    if pool == "-":
        from benchmarks.yardsticks import YARDSTICKS

        return YARDSTICKS[measure](seconds)

    import asyncio

    from benchmarks.measures import MEASURES
    from benchmarks.peers import PEERS

    factory = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    _import_first(pool)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(MEASURES[measure](PEERS[pool], seconds))


def _import_first(pool: str) -> None:
    """The imports of a server are not part of what a cold pool costs it."""
    if pool == "ours":
        # By its public name: modules inside the package are not where they were in older versions.
        from genro_executor_plugin import ProcessExecutor  # noqa: F401
    for module in _IMPORTS.get(pool, ()):
        importlib.import_module(module)


if __name__ == "__main__":
    # What pools print goes to stderr: standard output is for the figures alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    figures = main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
    answers.write(json.dumps(figures) + "\n")
    answers.close()
