# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Agents in a recipe: the section ``agents``, which ``genro-executor worker config.py`` reads.

One recipe describes both sides. An agent has the ``code`` of the pool that it works for, and takes
from that pool what is said there of the way to it and is not said here::

    cfg.executors().pool(code="heavy", executor_type="nats", url=URL, subject="tasks.heavy")
    cfg.agents().agent(code="heavy", max_workers=4, memory_limit="2GB", health_port=8081)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engines.nats.options import AGENT_OPTIONS, SHARED_OPTIONS
from ..errors import ExecutorConfigError
from ..executors.kinds import EVERYWHERE
from ..hosts.builders import BagResolver, element
from ..options.kinds import Kind
from ..options.pool import PoolOptions
from .grammar import PoolGrammar, WrittenPool, written_pools

__all__ = ["AgentGrammar", "configured_agent", "relative_to"]


class AgentGrammar(PoolGrammar):
    """The grammar of pools and agents."""

    filed: tuple[str, ...] = ("pool", "agent")

    @element(sub_tags="")
    def agent(
        self,
        code: str | None = None,
        url: str | BagResolver | None = None,
        subject: str | BagResolver | None = None,
        secret_file: str | BagResolver | None = None,
        insecure: bool | BagResolver | None = None,
        credentials: str | BagResolver | None = None,
        nkey: str | BagResolver | None = None,
        login: str | BagResolver | None = None,
        tls_ca: str | BagResolver | None = None,
        tls_cert: str | BagResolver | None = None,
        tls_key: str | BagResolver | None = None,
        places: int | BagResolver | None = None,
        modules: tuple[str, ...] | list[str] | BagResolver | None = None,
        files: tuple[str, ...] | list[str] | BagResolver | None = None,
        lost_after: float | BagResolver | None = None,
        health_port: int | BagResolver | None = None,
        health_host: str | BagResolver | None = None,
        **pool: Any,
    ) -> None:
        """An agent: how it reaches NATS, what it serves, and the options of its processes."""


def configured_agent(handler: Any, code: str | None) -> dict[str, Any]:
    """The options of the agent ``code`` of a configuration; of its only one for ``None``.

    Raises:
        ExecutorConfigError: there is none, or it cannot be said which; or it has mistakes, each
            with its file and line.
    """
    section, pools = handler.node("agents"), handler.node("executors")
    agents = written_pools(section.value or (), "agent") if section is not None else []
    shared = written_pools(pools.value or ()) if pools is not None else []
    agent = _chosen(agents, code)
    options = {"executor_type": agent.executor_type, **agent.options}
    if options.pop("executor_type") != "local":
        raise ExecutorConfigError(
            f"{agent.where}: the agent {agent.code!r} runs its calls in a pool of processes; leave "
            "executor_type= out, which is for the server's pool"
        )
    for pool in shared:
        if pool.code == agent.code:
            options = {k: v for k, v in pool.options.items() if k in SHARED_OPTIONS} | options
    mistakes = [*agent.mistakes, *_missing(agent, options), *_wrong(agent, options)]
    if mistakes:
        raise ExecutorConfigError.of(mistakes)
    return options


def _chosen(agents: Sequence[WrittenPool], code: str | None) -> WrittenPool:
    found = [agent for agent in agents if code in (None, agent.code)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(repr(agent.code) for agent in agents)
    if not agents:
        text = "it has no agents: write one with configuration().agents().agent(code=..., ...)"
    elif not found:
        text = f"it has no agent {code!r}, but {known}"
    elif code is None:
        text = f"it has several agents; say which one with --agent: {known}"
    else:
        text = f"the agent {code!r} is written twice, at {' and '.join(a.where for a in found)}"
    raise ExecutorConfigError(f"the configuration cannot be used for an agent: {text}")


def _missing(agent: WrittenPool, options: Mapping[str, Any]) -> list[str]:
    return [
        f"{agent.where}: the agent {agent.code!r} needs {name}=, here or in the pool of that name"
        for name in ("url", "subject")
        if name not in options
    ]


def _wrong(agent: WrittenPool, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of its pool of processes."""
    kind: Kind | None = EVERYWHERE.find("local", agent.code).kind
    own = {name: value for name, value in options.items() if name not in AGENT_OPTIONS}
    if kind is None:
        return []
    return [
        f"{agent.places.get(option, agent.where)}: {text}"
        for option, text in PoolOptions.mistakes(agent.code, kind, own)
    ]


def relative_to(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """``options`` with the files of applications as they lie from ``folder``."""
    files = [str(folder / file) for file in options.get("files", ())]
    return {**options, "files": files}
