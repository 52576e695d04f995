# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Fetches snapshots from the console of a server, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit, urlunsplit

import httpx

from ...console.token_files import TOKEN_HEADER, tokens_of_port
from .jobs import JOBS_QUERY

__all__ = ["SnapshotSource", "SourceError", "snapshot_url"]

CONSOLE_PATH = "/_executors"
"""Where the console is mounted by default."""

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Where a server of the same user may be found. Its token is sent nowhere else."""

FETCH_TIMEOUT_SECONDS = 5.0

JOBS_TIMEOUT_SECONDS = 60.0
"""A hundred jobs that are run again or cancelled take longer than a look does."""

_LIMIT_BYTES = 64 * 1024 * 1024
"""No snapshot is larger; an answer that is may have no end."""

_REFUSAL_LIMIT_BYTES = 65536

_POOL_FACTS = {
    *("name", "mode", "busy", "workers", "max_workers", "queued", "pending", "max_pending"),
    *("completed", "failed", "timed_out", "crashed", "rejected", "restarts"),
    *("run_p50_ms", "run_p95_ms", "wait_p95_ms"),
}


class SourceError(Exception):
    """No snapshot could be fetched. The message is one line with the reason and the cure."""


def snapshot_url(given: str) -> str:
    """The address of the snapshot for what a person writes: a host, a site, or the console.

    Raises:
        SourceError: ``given`` is not the address of a web server.
    """
    parts = _address(given)
    if parts is None:
        raise SourceError(
            f"{given!r} is not the address of a server, such as http://localhost:8000"
        )
    path = parts.path.rstrip("/") or CONSOLE_PATH
    if not path.endswith("/snapshot"):
        path += "/snapshot"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _token_in(given: str) -> str | None:
    """The token of a link as the server's log has it."""
    parts = _address(given)
    return parse_qs(parts.query).get("token", [None])[0] if parts is not None else None


def _address(given: str) -> SplitResult | None:
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is not a number, or brackets do not match
        return None
    return parts if right else None


class SnapshotSource:
    """A console that snapshots are fetched from."""

    def __init__(
        self, url: str, *, token: str | None = None, user: tuple[str, str] | None = None
    ) -> None:
        """The console at ``url``; requests carry a ``token``, or a name and a password.

        The token is one that the server's authentication knows, or that of its console, which is
        found by itself for a server of the same user on this machine.
        """
        self.url: str = snapshot_url(url)
        self._token = token or _token_in(url)
        self._headers = {"accept": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._auth = httpx.BasicAuth(*user) if user is not None else None
        self._has_credentials = token is not None or user is not None
        # Loading the authorities takes tens of milliseconds, and plain HTTP needs none.
        self._verify = httpx.create_ssl_context() if self.url.startswith("https:") else False

    def fetch(self, *, stacks: bool = False, jobs: bool = False) -> dict[str, Any]:
        """The state of the server as it is now.

        Args:
            stacks: whether it has where the calls are as well.
            jobs: whether it has the newest long jobs as well, or why they cannot be had.

        Raises:
            SourceError: nothing answers, the server refuses, or it has no console.
        """
        document: dict[str, Any] = self._document(self.url)
        if not _is_snapshot(document):
            raise SourceError(
                f"{self.url} did not answer with a snapshot of this version; is it a console?"
            )
        if stacks:
            document["stacks"] = self.stacks()
        if jobs:
            try:
                document["jobs"] = self.jobs(JOBS_QUERY, FETCH_TIMEOUT_SECONDS)
            except SourceError as error:  # the pools are there, and worth seeing
                document["jobs"] = {"trouble": str(error)}
        return document

    def stacks(self, pid: int | None = None) -> dict[str, Any]:
        """Where the running calls are: those in process ``pid``, or all.

        Raises:
            SourceError: as for ``fetch``.
        """
        url = self.url.removesuffix("snapshot") + ("stacks" if pid is None else f"stacks/{pid}")
        document = self._document(url)
        if not isinstance(document, dict) or not isinstance(document.get("calls"), list):
            raise SourceError(f"{url} did not answer with stacks; is it a console of this version?")
        return document

    def jobs(
        self, query: Mapping[str, str], timeout: float = JOBS_TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """A page of the long jobs that match ``query``, asked for within ``timeout`` seconds.

        Raises:
            SourceError: as for ``fetch``; or ``query`` has what there is not.
        """
        path = f"jobs/list?{urlencode(query, errors='replace')}"
        return self._about_jobs(path, "jobs", timeout=timeout)

    def job(self, task_id: str) -> dict[str, Any]:
        """What is known of a long job.

        Raises:
            SourceError: as for ``fetch``; or there is no such job.
        """
        return self._about_jobs(f"jobs/show/{quote(task_id, safe='')}", "task_id")

    def job_log(self, task_id: str) -> dict[str, Any]:
        """The last lines that a long job has logged.

        Raises:
            SourceError: as for ``fetch``; or there is no such job.
        """
        return self._about_jobs(f"jobs/log/{quote(task_id, safe='')}", "lines")

    def change_jobs(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Do something to long jobs, as the console's ``change/jobs`` describes it.

        Raises:
            SourceError: as for ``fetch``; or it is refused as a whole.
        """
        return self._about_jobs("change/jobs", "done", json.dumps(document).encode())

    def profile(self, route: str, seconds: float, rate: int) -> dict[str, Any]:
        """Where the calls of ``route`` are in ``seconds`` from now, as ``change/profile`` answers.

        Raises:
            SourceError: as for ``fetch``; or no profile can be made of it.
        """
        url = self.url.removesuffix("snapshot") + "change/profile"
        sent = json.dumps({"route": route, "seconds": seconds, "rate": rate}).encode()
        document = self._document(url, sent, seconds + JOBS_TIMEOUT_SECONDS)
        profile = document.get("profile") if isinstance(document, dict) else None
        if not isinstance(profile, dict) or not isinstance(profile.get("speedscope"), dict):
            raise SourceError(f"{url} did not answer with a profile; is it of this version?")
        return profile

    def _about_jobs(
        self,
        path: str,
        fact: str,
        sent: bytes | None = None,
        timeout: float = JOBS_TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        url = self.url.removesuffix("snapshot") + path
        document = self._document(url, sent, timeout)
        if not isinstance(document, dict) or fact not in document:
            raise SourceError(f"{url} did not answer as a console of this version does")
        return document

    def _document(
        self, url: str, sent: bytes | None = None, timeout: float = FETCH_TIMEOUT_SECONDS
    ) -> Any:
        """What ``url`` answers; with ``sent``, to a POST of that JSON."""
        response, body = self._ask(url, self._headers, self._auth, sent, timeout)
        if response.status_code == 401:
            for token in self._console_tokens():
                headers = {"accept": "application/json", TOKEN_HEADER: token}
                with_token, found = self._ask(url, headers, None, sent, timeout)
                if with_token.status_code != 401:
                    response, body, self._headers, self._auth = with_token, found, headers, None
                    break
        if not response.is_success:
            raise SourceError(self._refusal(response, body))
        return self._read(url, body)

    def _console_tokens(self) -> list[str]:
        """What may be the token of the console: what was given, or what is found."""
        if self._token is not None:
            return [self._token]
        parts = urlsplit(self.url)
        if self._has_credentials or parts.hostname not in _THIS_MACHINE:
            return []
        return tokens_of_port(parts.port or (443 if parts.scheme == "https" else 80))

    def _ask(
        self,
        url: str,
        headers: dict[str, str],
        auth: httpx.Auth | None,
        sent: bytes | None,
        timeout: float,
    ) -> tuple[httpx.Response, bytes]:
        if sent is not None:
            headers = {**headers, "content-type": "application/json"}
        try:
            # Redirects are not followed: credentials are for the server they were given for.
            with (
                httpx.Client(
                    headers=headers,
                    auth=auth,
                    verify=self._verify,
                    timeout=timeout,
                ) as client,
                client.stream("GET" if sent is None else "POST", url, content=sent) as response,
            ):
                return response, _body(response)
        except httpx.TimeoutException as error:
            raise SourceError(f"{self.url} did not answer within {timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise SourceError(f"{self.url} cannot be reached: {_reason(error)}") from error

    @staticmethod
    def _read(url: str, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            raise SourceError(f"{url} did not answer with JSON; is it a console?") from error

    def _refusal(self, response: httpx.Response, body: bytes) -> str:
        status, detail = response.status_code, _detail(body)
        if status == 401:
            known = self._has_credentials
            cure = "these credentials are not known" if known else "give --token or --user"
            if known is False and "token" in _detail(body):
                cure = "give the link that its log has, or the token in it by --token"
            return f"{self.url} wants authentication (401): {cure}"
        if status == 403:
            return f"{self.url} refuses (403): {detail or 'the tag SERVER_ADMIN is needed'}"
        if status == 404 and detail.startswith(("There is no job", "There is no route")):
            return detail
        if status == 404:
            return (
                f"{self.url} is not there (404): the server has no console; mount ExecutorConsole, "
                "or give the path it is mounted at"
            )
        if 300 <= status < 400:
            where = response.headers.get("location", "somewhere else")
            return f"{self.url} redirects to {where} ({status}): give that address"
        return f"{self.url} answered {status}: {detail or response.reason_phrase}"


def _is_snapshot(document: Any) -> bool:
    """Whether ``document`` has the facts that every view of a snapshot shows."""
    if not isinstance(document, dict) or not isinstance(document.get("pools"), list):
        return False
    pools: list[Any] = document["pools"]
    return isinstance(document.get("now"), int | float) and all(
        isinstance(pool, dict) and pool.keys() >= _POOL_FACTS for pool in pools
    )


def _body(response: httpx.Response) -> bytes:
    """The body, up to a limit: no answer may fill the memory, and of a refusal one line counts."""
    limit = _LIMIT_BYTES if response.is_success else _REFUSAL_LIMIT_BYTES
    read = bytearray()
    for part in response.iter_bytes():
        read += part
        if len(read) >= limit:
            break
    return bytes(read[:limit])


def _reason(error: BaseException) -> str:
    """Why a request failed: the system's own message, or else that of ``error``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    said = " ".join(str(error).split())
    if isinstance(error, httpx.RemoteProtocolError):
        return f"it gave no answer in HTTP ({said.rstrip('.')})"
    return said


def _detail(body: bytes) -> str:
    """What the server says about its refusal, in one line; empty if it says nothing readable."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    said = document.get("detail") or document.get("error") or document.get("message")
    return " ".join(said.split()) if isinstance(said, str) else ""
