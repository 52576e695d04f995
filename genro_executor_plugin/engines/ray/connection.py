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
import socket
import sys
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from ...errors import ExecutorConfigError, ExecutorError
from ...options.share import cpu_share
from ..process.threads import Threads

__all__ = ["RAY", "Head", "RayConnection", "on_a_thread"]

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


class Head(Enum):
    """What is to be said of the cluster's head node."""

    UP = "it answers"
    AWAY = "it cannot be reached"
    ANOTHER = "it was started anew, and has another cluster now"


_PROBE_SECONDS = 2.0
"""How long the head may take to answer before it counts as away."""


class RayConnection:
    """The connection of this process, which its pools share.

    Attributes:
        module: Ray itself, while a pool is connected.
        where: the address of its head node.
        lock: held while the connection is made or ended; who creates actors holds it, too.
    """

    module: Any
    where: str

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self._pools = 0
        self._pid = 0
        self._address: str | None = None
        self._life: _Life | None = None
        self._in_use: list[Callable[[], bool]] = []

    def enter(self, pool: str, address: str | None, in_use: Callable[[], bool]) -> None:
        """Connect for ``pool``; it takes seconds, and is for a thread.

        A connection that the program has made itself is used as it is, and is left alone.

        Args:
            pool: its name, for messages.
            address: where the cluster is, as Ray has it; ``None`` for a Ray on this machine.
            in_use: tells whether a worker of the pool is up.

        Raises:
            ExecutorConfigError: Ray is not installed, or the process is connected elsewhere.
            ExecutorError: the cluster cannot be reached, or no Ray can be started here.
        """
        with self.lock:
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
            self._in_use.append(in_use)

    def leave(self, in_use: Callable[[], bool]) -> None:
        """Disconnect if no other pool needs the connection; to be called on a thread."""
        with self.lock:
            self._pools -= 1
            self._in_use.remove(in_use)
            if not self._pools:
                self._pid = 0
                life, self._life = self._life, None
                if life is not None:
                    life.end()

    def head(self) -> Head:
        """Whether the head node answers; to be called on a thread.

        Ray ends the whole process when it asks a head for its resources that was started anew
        meanwhile, so whoever wants to ask for them has to ask here first.
        """
        host, _, port = self.where.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
            # There is no public way to ask it anything that ends in an exception.
            client = self.module._private.worker.global_worker.gcs_client
            client.internal_kv_get(b"there", b"genro-executor", timeout=_PROBE_SECONDS)
        except Exception as error:
            return Head.ANOTHER if "WrongClusterID" in str(error) else Head.AWAY
        return Head.UP

    def settle(self, pool: str) -> bool:
        """Return whether the head answers, and connect anew where it would not without that.

        A head that was started anew knows nothing of this connection, and so it is with a Ray
        that this process has started and that has died. Nothing is done while a pool has workers
        that are up: they belong to what was before, and may be answering. For a thread.

        Args:
            pool: the pool that wants to start a worker.

        Raises:
            ExecutorError: the head was started anew, and the connection is not ours.
        """
        with self.lock:
            head = self.head() if self.module.is_initialized() else Head.ANOTHER
            if head is Head.UP:
                return True
            if self._life is None:
                if head is Head.AWAY:
                    return False
                raise ExecutorError(
                    f"pool {pool!r}: of Ray's head at {self.where} there is to say: {head.value}. "
                    "The program has made the connection itself, and has to make it anew",
                    pool=pool,
                )
            if head is Head.AWAY and self._address is not None:
                return False
            if any(in_use() for in_use in self._in_use):
                return False
            _logger.warning("pool %r: Ray has begun anew, and so does the connection to it", pool)
            self._life.end()
            self._connect(pool, self._address)
        return True

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
                raise ExecutorError(
                    f"pool {pool!r}: Ray {_why_not(error, address)}", pool=pool
                ) from error
            if address is None:
                _look_at_address(ray.util.get_node_ip_address())
        self.where = str(ray.get_runtime_context().gcs_address)
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


def _why_not(error: BaseException, address: str | None) -> str:
    """What Ray cannot do, and why, for the ``error`` that it has raised."""
    if address is None:
        return f"cannot be started on this machine: {error}"
    cause: BaseException | None = error
    while cause is not None:
        # Ray has it in the text of another error.
        if "AuthenticationError" in f"{type(cause).__name__} {cause}":
            return (
                f"at {address} wants another token than this process has: give it "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
            )
        cause = cause.__cause__
    return f"cannot be reached at {address}: {error}"


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
