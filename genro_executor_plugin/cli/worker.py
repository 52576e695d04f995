# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor worker``: an agent, which runs the calls of servers on other machines."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from pathlib import Path
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
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="a config.py with a section agents, which says all of the following; what is given "
        "here, too, wins",
    )
    parser.add_argument("--agent", metavar="CODE", help="which of the agents of CONFIG to be")
    parser.add_argument("--url", help="NATS, such as nats://localhost:4222")
    parser.add_argument("--subject", help="the pool's, such as tasks.heavy")
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
        dest="modules",
        metavar="MODULE",
        help="run functions of this module only, and only for servers that have the same source; "
        "can be given several times",
    )
    parser.add_argument(
        "--file",
        action="append",
        dest="files",
        metavar="FILE",
        help="the file of an application that the server is started with as "
        "application=FILE:Class; can be given several times",
    )
    parser.add_argument(
        "--lost-after",
        type=seconds(1, 3600),
        metavar="SECONDS",
        help="end the calls of a server that was not heard of for so long (default 10)",
    )
    parser.add_argument(
        "--health-port",
        type=whole("port", 1, 65535),
        help="say at this port over HTTP whether the agent is well: 200, or 503 and the reason",
    )
    parser.add_argument("--health-host", help="the address of that port (default 127.0.0.1)")
    parser.add_argument("--secret-file", help="the file with the secret")
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="sign nothing: whoever can publish to NATS can run anything here",
    )
    for option, what in _FILES.items():
        parser.add_argument(option, metavar="FILE", help=what)
    parser.set_defaults(run=_worker)


def _worker(arguments: argparse.Namespace) -> int:
    import asyncio
    import logging

    from ..agent.agent import Agent
    from ..agent.files import find_application_file
    from ..engines.nats.options import AGENT_OPTIONS
    from ..errors import ExecutorError
    from ..remote.access import Access, read_secret

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.path.insert(0, os.getcwd())
    try:
        options = _checked(_described(arguments))
        for file in options.pop("files", ()):
            find_application_file(file)
        port, host = options.pop("health_port", None), options.pop("health_host", "127.0.0.1")
        access, subject = Access.of(options), options.pop("subject")
        secret = options.pop("secret_file", None), options.pop("insecure", False)
        agent = Agent(
            access,
            subject,
            read_secret(f"the agent of {subject!r}", *secret),
            {name: value for name, value in options.items() if name not in AGENT_OPTIONS},
            places=options.get("places"),
            modules=options.get("modules", ()),
            lost_after=options.get("lost_after", 10.0),
            health=None if port is None else (host, port),
        )
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(agent))
        if agent.starts_again:
            # The same process, so that whoever watches over it sees none end; with new modules.
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except ExecutorError as error:
        raise CommandError(str(error)) from error
    return HOLDS


def _described(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options in the configuration, and over them what the command line has."""
    options = _configured(arguments) if arguments.config is not None else {}
    if arguments.agent is not None and arguments.config is None:
        raise CommandError("--agent says which agent of a CONFIG; give that, too")
    from ..engines.nats.options import AGENT_OPTIONS

    given = {name: getattr(arguments, name) for name in AGENT_OPTIONS}
    options |= {name: value for name, value in given.items() if value is not None}
    for name in ("url", "subject"):
        if name not in options:
            raise CommandError(f"--{name} is missing; or give a CONFIG with a section agents")
    return options | _options(arguments.pool)


def _configured(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the agent in the recipe."""
    from ..hosts.names import read_configuration
    from ..serving.agents import configured_agent, relative_to
    from .launching import find_siblings
    from .reasons import reasons

    find_siblings(arguments.config)
    try:
        options = configured_agent(read_configuration(arguments.config), arguments.agent)
    except Exception as error:  # a recipe is the user's own code
        raise CommandError("\n".join(reasons(error))) from error
    return relative_to(Path(arguments.config).absolute().parent, options)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """``options``, of which what the agent is told of itself makes sense."""
    from ..engines.nats.options import OWN_OPTIONS

    whole_numbers = {"places": 100_000, "health_port": 65535}
    for name, value in options.items():
        try:
            if name in OWN_OPTIONS:
                options[name] = OWN_OPTIONS[name].check(value)
            elif name in whole_numbers and (
                type(value) is not int or not 1 <= value <= whole_numbers[name]
            ):
                raise ValueError(f"give a whole number from 1 to {whole_numbers[name]}")
            elif name in ("modules", "files") and (
                isinstance(value, str) or not all(isinstance(one, str) for one in value)
            ):
                raise ValueError("give a list of names")
        except ValueError as error:
            option = f"--{name.replace('_', '-')}"
            raise CommandError(f"{option} {value!r} is not allowed; {error}") from error
    return options


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
