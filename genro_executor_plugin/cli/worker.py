# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor worker``: an agent, which runs the calls of servers on other machines."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from typing import Any

from .output import HOLDS, CommandError
from .parsing import seconds, whole

__all__ = ["add"]

_FILES = {
    "--credentials": "a file with a user's JWT and seed, as nsc makes it",
    "--nkey": "a file with the seed of an nkey",
    "--login": "a file with user:password, or with a token",
    "--tls-ca": "a file with the certificates that the servers' are signed by",
    "--tls-cert": "a file with a certificate of our own",
    "--tls-key": "a file with its key",
}


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "worker",
        help="run the calls of servers on other machines, which are reached through NATS",
        description=(
            "An agent: it takes calls of the pools with executor_type='nats' and this subject, and "
            "runs them in a pool of processes of its own. It waits until NATS is there. SIGTERM "
            "and Ctrl-C end it when its calls have ended, a second one ends them."
        ),
        epilog=(
            "Messages are signed with a secret that the server has, too: a file (--secret-file), "
            "or GENRO_EXECUTOR_NATS_SECRET. Modules are imported from the working directory and "
            "from PYTHONPATH. Exit code: 0 when it was told to end, 2 if it could not begin."
        ),
    )
    parser.add_argument("--url", required=True, help="NATS, such as nats://localhost:4222")
    parser.add_argument("--subject", required=True, help="the pool's, such as tasks.heavy")
    parser.add_argument(
        "--pool",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        help="options of its pool of processes, such as max_workers=4 memory_limit=2GB",
    )
    parser.add_argument(
        "--places",
        type=whole("places", 1, 100_000),
        help="how many calls it runs at a time, where coroutines wait (default: one a worker)",
    )
    parser.add_argument(
        "--module",
        action="append",
        default=[],
        metavar="MODULE",
        help="run functions of this module only, and only for servers that have the same source; "
        "can be given several times",
    )
    parser.add_argument(
        "--lost-after",
        type=seconds(1, 3600),
        default=10.0,
        metavar="SECONDS",
        help="end the calls of a server that was not heard of for so long (default 10)",
    )
    parser.add_argument(
        "--health-port",
        type=whole("port", 1, 65535),
        help="say at this port over HTTP whether the agent is well: 200, or 503 and the reason",
    )
    parser.add_argument(
        "--health-host", default="127.0.0.1", help="the address of that port (default 127.0.0.1)"
    )
    parser.add_argument("--secret-file", help="the file with the secret")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="sign nothing: whoever can publish to NATS can run anything here",
    )
    for option, what in _FILES.items():
        parser.add_argument(option, metavar="FILE", help=what)
    parser.set_defaults(run=_worker)


def _worker(arguments: argparse.Namespace) -> int:
    import asyncio
    import logging

    from ..agent.agent import Agent
    from ..errors import ExecutorError
    from ..remote.access import Access, check_url, read_secret
    from ..remote.subjects import check_subject

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name, check in (("url", check_url), ("subject", check_subject)):
        try:
            check(getattr(arguments, name))
        except ValueError as error:
            value = getattr(arguments, name)
            raise CommandError(f"--{name} {value!r} is not allowed; {error}") from error
    sys.path.insert(0, os.getcwd())
    port = arguments.health_port
    health = None if port is None else (arguments.health_host, port)
    who = f"the agent of {arguments.subject!r}"
    try:
        agent = Agent(
            Access.of(vars(arguments)),
            arguments.subject,
            read_secret(who, arguments.secret_file, arguments.insecure),
            _options(arguments.pool),
            places=arguments.places,
            modules=arguments.module,
            lost_after=arguments.lost_after,
            health=health,
        )
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(agent))
        if agent.starts_again:
            # The same process, so that whoever watches over it sees none end; with new modules.
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except ExecutorError as error:
        raise CommandError(str(error)) from error
    return HOLDS


def _options(given: list[str]) -> dict[str, Any]:
    """The options in texts such as ``max_workers=4``."""
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--pool {text!r} has no value; write option=value")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return options


def _loop_factory() -> Any:
    """What makes an event loop of uvloop, if that is installed; a call costs less on it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(agent: Any) -> None:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.drain)
    await agent.serve()
