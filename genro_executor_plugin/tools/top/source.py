# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where snapshots come from: the console of a server, over HTTP."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

__all__ = ["SnapshotSource", "SourceError", "snapshot_url"]

CONSOLE_PATH = "/_executors"
"""Where the console is mounted when nobody says otherwise."""

FETCH_TIMEOUT_SECONDS = 5.0

_LIMIT_BYTES = 64 * 1024 * 1024
"""No snapshot is that large; what is goes on without an end."""


_POOL_FACTS = {
    *("name", "mode", "busy", "workers", "max_workers", "queued", "pending", "max_pending"),
    *("completed", "failed", "timed_out", "crashed", "rejected", "restarts"),
    *("run_p50_ms", "run_p95_ms", "wait_p95_ms"),
}


class SourceError(Exception):
    """There is no snapshot to be had. The message is one line with the reason and the cure."""


def snapshot_url(given: str) -> str:
    """The address of the snapshot for what a person writes: a host, a site, or the console.

    Raises:
        SourceError: it is no address of a web server.
    """
    parts = _address(given)
    if parts is None:
        raise SourceError(
            f"{given!r} is not the address of a server, such as http://localhost:8000"
        )
    path = parts.path.rstrip("/") or CONSOLE_PATH
    if not path.endswith("/snapshot"):
        path += "/snapshot"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _address(given: str) -> SplitResult | None:
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, or brackets that do not match
        return None
    return parts if right else None


class SnapshotSource:
    """The snapshots of one console."""

    def __init__(
        self, url: str, *, token: str | None = None, user: tuple[str, str] | None = None
    ) -> None:
        """The console at ``url``, asked with a bearer ``token`` or a name and a password."""
        self.url = snapshot_url(url)
        self._headers = {"accept": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        elif user is not None:
            pair = base64.b64encode(":".join(user).encode()).decode("ascii")
            self._headers["authorization"] = f"Basic {pair}"
        self._opener = urllib.request.build_opener(_NoRedirect)

    def fetch(self) -> dict[str, Any]:
        """The state of the server now.

        Raises:
            SourceError: nothing answers, the server refuses, or it has no console.
        """
        request = urllib.request.Request(self.url, headers=self._headers)
        try:
            with self._opener.open(request, timeout=FETCH_TIMEOUT_SECONDS) as answer:
                body = answer.read(_LIMIT_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                raise SourceError(self._refusal(error)) from error
        except TimeoutError as error:
            raise SourceError(
                f"{self.url} did not answer within {FETCH_TIMEOUT_SECONDS:g} s"
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            why = getattr(reason, "strerror", None) or reason
            raise SourceError(f"{self.url} cannot be reached: {why}") from error
        return self._read(body)

    def _read(self, body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except ValueError as error:
            raise SourceError(f"{self.url} did not answer with JSON; is it a console?") from error
        if not _is_snapshot(document):
            raise SourceError(
                f"{self.url} did not answer with a snapshot of this version; is it a console?"
            )
        return dict(document)

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        status, known = error.code, "authorization" in self._headers
        if status == 401:
            cure = "these credentials are not known" if known else "give --token or --user"
            return f"{self.url} wants authentication (401): {cure}"
        if status == 403:
            return f"{self.url} refuses (403): {_detail(error) or 'the tag SERVER_ADMIN is needed'}"
        if status == 404:
            return (
                f"{self.url} is not there (404): the server has no console; mount ExecutorConsole, "
                "or give the path it is mounted at"
            )
        if 300 <= status < 400:
            where = error.headers.get("location", "somewhere else")
            return f"{self.url} redirects to {where} ({status}): give that address"
        return f"{self.url} answered {status}: {_detail(error) or error.reason}"


def _is_snapshot(document: Any) -> bool:
    """Whether ``document`` has what is shown of every snapshot."""
    if not isinstance(document, dict) or not isinstance(document.get("pools"), list):
        return False
    pools: list[Any] = document["pools"]
    return isinstance(document.get("now"), int | float) and all(
        isinstance(pool, dict) and pool.keys() >= _POOL_FACTS for pool in pools
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Credentials are for the server they were given for."""

    def redirect_request(self, *_args: Any, **_options: Any) -> None:
        return None


def _detail(error: urllib.error.HTTPError) -> str:
    """What the server says about its refusal, in one line; empty if it says nothing readable."""
    try:
        document = json.loads(error.read(65536))
    except (OSError, ValueError):
        return ""
    if not isinstance(document, dict):
        return ""
    said = document.get("detail") or document.get("error") or document.get("message")
    return " ".join(said.split()) if isinstance(said, str) else ""
