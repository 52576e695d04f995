# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The types of what is told of a host, and the list of what is used behind its public surface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pkgutil import resolve_name
from typing import Any, NamedTuple, Protocol

__all__ = ["Asker", "HostServer", "Reach", "missing"]


class Asker(NamedTuple):
    """Who a request comes from, as the host has found out.

    Attributes:
        identity: the identity that authentication found, ``None`` without one.
        tags: the authorization tags of that identity.
        session_id: the id of the request's session, empty for no session.
    """

    identity: str | None = None
    tags: frozenset[str] = frozenset()
    session_id: str = ""


class HostServer(Protocol):
    """A server of the host, as far as it is used outside ``hosts``; the rest is asked there."""

    @property
    def executors(self) -> Any:
        """The pools: no host has them, this package gives them to its server."""

    @property
    def applications(self) -> Mapping[str, Any]:
        """The applications by their codes."""

    @property
    def root_application(self) -> Any:
        """The application that answers where no other is mounted, ``None`` for none."""

    def application_at(self, mount: str, /) -> Any:
        """The application that is mounted at ``mount``, ``None`` for none."""

    async def run_sync(self, fn: Callable[..., Any], /) -> Any:
        """What ``fn`` returns, called on the server's threads."""

    async def get_until_leaving(self, queue: Any, /) -> Any:
        """The next item of ``queue``, ``None`` once the server leaves."""


class Reach(NamedTuple):
    """Something of another package that its documentation does not promise, and that is used here.

    Attributes:
        owner: what has it: ``"module:Class"``, or ``"module:Class()"`` for an instance; ``HOST``
            in the module's name stands for the host's package.
        names: its attributes that are used.
        use: what they are used for.
        wish: what would be used in their place, if it were public.
    """

    owner: str
    names: tuple[str, ...]
    use: str
    wish: str


def missing(distribution: str, reaches: Iterable[Reach], host: str) -> list[str]:
    """One line for each name in ``reaches`` that the installed ``distribution`` has taken away.

    Args:
        host: the package of the host.
    """
    found = []
    for reached, names, use, wish in reaches:
        owner = reached.replace("HOST", host, 1)
        for name in names:
            try:
                _look_at(owner, name)
            except (AttributeError, ImportError) as error:
                found.append(
                    f"{distribution} {version(distribution)} has taken away "
                    f"{owner.partition(':')[2]}.{name}, which is used to {use} ({error}). "
                    f"A public way would be {wish}"
                )
    return found


def _look_at(owner: str, name: str) -> None:
    """Get ``name`` of ``owner``. Raises ``AttributeError`` or ``ImportError`` if it is gone."""
    instance = owner.endswith("()")
    value = resolve_name(owner.removesuffix("()"))
    getattr(value() if instance else value, name)
