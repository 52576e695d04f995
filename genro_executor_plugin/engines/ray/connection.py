# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The connection of this process to Ray, of which there can be one. Ray is imported with it.

Ray has the processes that it starts killed when the thread that has started them ends, so there is
a thread that connects, waits as long as a pool needs it, and disconnects.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import ExecutorConfigError, ExecutorError
from ...options.share import cpu_share
from ..process.threads import Threads

__all__ = ["RAY", "RayConnection", "on_a_thread"]

_logger = logging.getLogger("genro_executor_plugin")

# Ray ends a program that cannot reach the head node for a minute. A server has other pools, and its
# actors go on answering meanwhile.
_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(30 * 24 * 3600)}

_CLOSE_SECONDS = 1.0
"""How long a thread that has done its work may take to end."""

T = TypeVar("T")

_VARIABLES = {
    # Where Ray runs on this machine alone, it shall be reached from this machine alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What Ray reads from the environment when it is to run on this machine alone."""


class RayConnection:
    """The connection of this process, which its pools share.

    Attributes:
        module: Ray itself, while a pool is connected.
    """

    module: Any

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools = 0
        self._pid = 0
        self._address: str | None = None
        self._life: _Life | None = None

    def enter(self, pool: str, address: str | None) -> None:
        """Connect for ``pool``; it takes seconds, and is for a thread.

        A connection that the program has made itself is used as it is, and is left alone.

        Args:
            pool: its name, for messages.
            address: where the cluster is, as Ray has it; ``None`` for a Ray on this machine.

        Raises:
            ExecutorConfigError: Ray is not installed, or the process is connected elsewhere.
            ExecutorError: the cluster cannot be reached, or no Ray can be started here.
        """
        with self._lock:
            if self._pid not in (0, os.getpid()):
                raise ExecutorError(
                    f"pool {pool!r}: this process was forked from one that is connected to Ray, "
                    "and cannot connect. Start it anew (spawn), or fork it before the first call",
                    pool=pool,
                )
            if not self._pools:
                self._connect(pool, address)
            elif address != self._address:
                raise ExecutorConfigError(
                    f"pool {pool!r} has address={address!r}, and another pool has "
                    f"{self._address!r}: a process has one connection to Ray. Give both the same",
                    pool=pool,
                )
            self._pools += 1

    def leave(self) -> None:
        """Disconnect if no other pool needs the connection; to be called on a thread."""
        with self._lock:
            self._pools -= 1
            if not self._pools:
                self._pid = 0
                life, self._life = self._life, None
                if life is not None:
                    life.end()

    def _connect(self, pool: str, address: str | None) -> None:
        if "ray" not in sys.modules:
            for name, value in {**_PATIENCE, **(_VARIABLES if address is None else {})}.items():
                os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise ExecutorConfigError(
                f"pool {pool!r}: Ray is not installed; pip install 'genro-executor-plugin[ray]'",
                pool=pool,
            ) from error
        self.module = ray
        if ray.is_initialized():
            there = ray.get_runtime_context().gcs_address
            if address not in (None, "auto", there):
                raise ExecutorConfigError(
                    f"pool {pool!r} has address={address!r}, and this process is connected to Ray "
                    f"at {there} already. Give that address, or none",
                    pool=pool,
                )
        else:
            self._life = _Life(ray, address)
            try:
                self._life.begin()
            except Exception as error:
                where = "be started on this machine" if address is None else f"reached at {address}"
                raise ExecutorError(
                    f"pool {pool!r}: Ray cannot {where}: {error}", pool=pool
                ) from error
            if address is None:
                _look_at_address(ray.util.get_node_ip_address())
        self._address, self._pid = address, os.getpid()


async def on_a_thread(work: Callable[..., T], *args: Any) -> T:
    """What ``work(*args)`` returns, on a thread of its own.

    The event loop's own threads may all be taken, by work that waits for what is done here.
    """
    threads = Threads("genro-executor-ray", 1, asyncio.get_running_loop())
    try:
        return await threads.run(work, *args)
    finally:
        await threads.close(_CLOSE_SECONDS)


def _look_at_address(host: str) -> None:
    if not ipaddress.ip_address(host).is_loopback:
        _logger.warning(
            "Ray was imported before the first pool that needs it, and listens at %s, where other "
            "machines may reach it. Set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 in the environment "
            "of the program: Ray then listens on this machine's loopback address only",
            host,
        )


class _Life:
    """From the moment at which this process connects until it disconnects."""

    def __init__(self, ray: Any, address: str | None) -> None:
        self._ray, self._address = ray, address
        self._is_up, self._is_over = threading.Event(), threading.Event()
        self._error: Exception | None = None
        # A server that has forgotten to shut its pools down ends nevertheless.
        self._thread = threading.Thread(target=self._live, name="genro-executor-ray", daemon=True)

    def begin(self) -> None:
        """Connect.

        Raises:
            Exception: what Ray raises.
        """
        self._thread.start()
        self._is_up.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def end(self) -> None:
        """Disconnect, and end what was started here."""
        self._is_over.set()
        self._thread.join()

    def _live(self) -> None:
        given: dict[str, Any] = {"address": self._address}
        if self._address is None:
            given = {"address": "local", "num_cpus": cpu_share(), "include_dashboard": False}
        try:
            # What handlers log comes on our own way. What they print is in Ray's own files.
            self._ray.init(
                **given, log_to_driver=False, configure_logging=False, logging_level="WARNING"
            )
        except Exception as error:
            self._error = error
            return
        finally:
            self._is_up.set()
        self._is_over.wait()
        self._ray.shutdown()


RAY = RayConnection()
"""The connection of this process: Ray has one for each process, and so has this package."""
