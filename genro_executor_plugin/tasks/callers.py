# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Who asks: the identity and the session of the request that is being answered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .states import TaskStatus

__all__ = ["ADMIN_TAGS", "Caller", "caller_of", "calling"]

ADMIN_TAGS = frozenset({"SERVER_ADMIN", "SUPERADMIN"})
"""The authorization tags of genro-asgi's own administrators."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        identity: whom authentication found, empty for nobody.
        session: a digest of the session's id, empty for no session.
        tags: the authorization tags.
        key: the request's ``Idempotency-Key``, empty for none.
        courier: what the events of its jobs are sent to on the server's hub, empty for nobody.
    """

    identity: str = ""
    session: str = ""
    tags: frozenset[str] = frozenset()
    key: str = ""
    courier: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether nothing is known of them."""
        return not self.identity and not self.session

    def is_admin(self, admin_tags: Iterable[str] = ADMIN_TAGS) -> bool:
        """Whether they may see everybody's jobs."""
        return not self.tags.isdisjoint(admin_tags)

    def may_see(self, status: TaskStatus, admin_tags: Iterable[str] = ADMIN_TAGS) -> bool:
        """Whether ``status`` is of a job of theirs, or they are an administrator."""
        if self.is_admin(admin_tags) or status.open_to_id:
            return True
        if status.submitter:
            return status.submitter == self.identity
        return bool(status.session) and status.session == self.session


calling: ContextVar[Caller | None] = ContextVar("genro_executor_calling", default=None)
"""Whose request is being answered; ``None`` outside of one."""


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Who the ASGI ``scope`` comes from, as genro-asgi's middlewares have found out."""
    avatar, session = scope.get("auth"), scope.get("session")
    headers = {
        name: value
        for name, value in scope.get("headers", ())
        if name in (b"idempotency-key", b"mcp-session-id")
    }
    session_id = str(session.id) if session is not None else ""
    return Caller(
        identity=str(avatar.identity) if avatar is not None else "",
        session=hashlib.sha256(session_id.encode()).hexdigest() if session_id else "",
        tags=frozenset(avatar.tags) if avatar is not None else frozenset(),
        key=headers.get(b"idempotency-key", b"").decode("latin-1"),
        courier=headers.get(b"mcp-session-id", b"").decode("latin-1") or session_id,
    )
