# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A real Ray on loopback, one for all tests; it is imported when the first test needs it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from genro_executor_plugin import RayExecutor

IS_INSTALLED = importlib.util.find_spec("ray") is not None
REASON = "ray is not installed; tox run -e ray has it"

CPUS = 4
STORE_BYTES = 200 * 2**20

_shared: list[psutil.Process] = []


def shared_pids() -> set[int]:
    """The processes of Ray, its workers among them."""
    found: set[int] = set()
    for process in _shared:
        with suppress(psutil.NoSuchProcess):
            found |= {process.pid, *(child.pid for child in process.children(recursive=True))}
    return found


@contextmanager
def running_ray() -> Iterator[None]:
    """Ray on this machine, which pools of this process use."""
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    import ray

    is_up, is_over = threading.Event(), threading.Event()
    before = {child.pid for child in psutil.Process().children()}

    def live() -> None:  # what Ray starts ends with the thread that has started it
        try:
            # Workers look into this folder first. It must not be that of the sources: where the
            # package is installed, they are to have the installed one, too.
            with contextlib.chdir(tempfile.gettempdir()):
                ray.init(
                    address="local",
                    num_cpus=CPUS,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    log_to_driver=False,
                    configure_logging=False,
                    logging_level="WARNING",
                )
        finally:
            is_up.set()
        is_over.wait()
        ray.shutdown()

    thread = threading.Thread(target=live, name="ray of the tests", daemon=True)
    thread.start()
    is_up.wait()
    assert ray.is_initialized()
    _shared[:] = [child for child in psutil.Process().children() if child.pid not in before]
    try:
        yield
    finally:
        is_over.set()
        thread.join(30)
        _, left = psutil.wait_procs(_shared, timeout=10)
        for process in left:
            process.kill()
        _shared.clear()
        assert not left, f"left behind: {left}"


def ray_pool(name: str = "pool", **options: Any) -> RayExecutor:
    """A pool whose calls run on that Ray."""
    return RayExecutor(name, **options)
