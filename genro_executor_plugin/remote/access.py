# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How the servers of NATS are reached, and what both sides sign with; the same for both sides."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import ExecutorConfigError
from .envelope import LEAST_SECRET_BYTES

__all__ = ["SECRET_VARIABLE", "Access", "check_file", "check_url", "read_secret"]

SECRET_VARIABLE = "GENRO_EXECUTOR_NATS_SECRET"
"""The environment variable with the secret, where no file is named."""

_SCHEMES = ("nats", "tls", "ws", "wss")


def check_url(value: object) -> str:
    """``value``, the addresses of NATS servers with commas between them.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("give the address of a NATS server, such as 'nats://worker:4222'")
    for part in value.split(","):
        url = urlsplit(part.strip())
        if url.scheme not in _SCHEMES or not url.hostname or not _has_port(url):
            raise ValueError(
                "give the address of a NATS server, such as 'nats://worker:4222'; several have "
                "commas between them"
            )
        if url.username is not None or url.password is not None:
            raise ValueError(
                "the console and logs would show what stands before the @; put user:password, or "
                "a token, into a file and name that with login="
            )
    return value


def _has_port(url: SplitResult) -> bool:
    """Whether the port of ``url`` is one, or is left out."""
    try:
        return url.port != 0
    except ValueError:
        return False


def check_file(value: object) -> str | None:
    """``value``, the path of a file, or ``None``.

    Raises:
        ValueError: it is neither.
    """
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, Path):
        return str(value)
    raise ValueError("give the path of a file")


_FILE_OPTIONS = ("credentials", "nkey", "login", "tls_ca", "tls_cert", "tls_key")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the servers of NATS are, and how one is let in.

    Attributes:
        url: their addresses, with commas between them.
        credentials: a file with a user's JWT and seed, as ``nsc`` makes it.
        nkey: a file with the seed of an nkey.
        login: a file with ``user:password``, or with a token.
        tls_ca: a file with the certificates that the servers' are signed by.
        tls_cert: a file with a certificate of our own.
        tls_key: a file with its key.
    """

    url: str
    credentials: str | None = None
    nkey: str | None = None
    login: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Access:
        """What is said in ``options``, by the names of the attributes."""
        return cls(options["url"], *(options.get(name) for name in _FILE_OPTIONS))

    @property
    def servers(self) -> list[str]:
        """The addresses one by one."""
        return [part.strip() for part in self.url.split(",")]

    def as_arguments(self) -> dict[str, Any]:
        """What ``nats.connect`` is told.

        Raises:
            ExecutorConfigError: a file cannot be read, or is not what its option is for.
        """
        for option in _FILE_OPTIONS:
            self._check_file(option)
        arguments: dict[str, Any] = {"servers": self.servers}
        if self.credentials is not None:
            arguments["user_credentials"] = self.credentials
        if self.nkey is not None:
            arguments["nkeys_seed"] = self.nkey
        if self.login is not None:
            user, colon, password = Path(self.login).read_text("utf-8").strip().partition(":")
            arguments |= {"user": user, "password": password} if colon else {"token": user}
        if self.wants_tls:
            arguments["tls"] = self._tls_context()
        return arguments

    @property
    def wants_tls(self) -> bool:
        """Whether nothing may be said to a server of NATS that does not encrypt."""
        return any((self.tls_ca, self.tls_cert, self.tls_key))

    def _tls_context(self) -> ssl.SSLContext:
        if self.tls_key is not None and self.tls_cert is None:
            raise self._unusable("tls_key", "it is the key of a certificate: give tls_cert=, too")
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except ssl.SSLError as error:
            raise self._unusable("tls_ca", "it has no certificates in PEM format") from error
        if self.tls_cert is not None:
            try:
                # Without a password openssl would ask for it at the terminal.
                context.load_cert_chain(self.tls_cert, self.tls_key, password="")
            except (ssl.SSLError, ValueError) as error:
                reason = "it is no certificate in PEM format with its key, which has no password"
                raise self._unusable("tls_cert", reason) from error
        return context

    def _check_file(self, option: str) -> None:
        """See that the file of ``option`` can be read, and is not something else."""
        file = getattr(self, option)
        if file is None:
            return
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise self._unusable(option, error.strerror or type(error).__name__) from error
        # nats-py would read on for ever in search of what marks the user.
        if option == "credentials" and b"BEGIN NATS USER JWT" not in content:
            raise self._unusable(option, "it has no user's JWT and seed, as nsc writes them")
        if option in ("nkey", "login") and not content.strip():
            raise self._unusable(option, "it is empty")

    def _unusable(self, option: str, reason: str) -> ExecutorConfigError:
        """The error for a file; it never has anything of what is in it."""
        return ExecutorConfigError(
            f"NATS at {self.url}: the file {option}={getattr(self, option)!r} cannot be used: "
            f"{reason}"
        )


def read_secret(who: str, file: str | None, insecure: bool) -> bytes | None:
    """The secret that messages are signed with; ``None`` where ``insecure`` is written down.

    Args:
        who: who needs it, for messages.
        file: the file that it lies in; without one it is taken from the environment.
        insecure: whether everybody who can publish is trusted.

    Raises:
        ExecutorConfigError: there is none, or it is too short, or there are both.
    """
    secret = os.environ.get(SECRET_VARIABLE, "").strip().encode()
    if insecure:
        if file is not None:
            raise ExecutorConfigError(
                f"{who}: insecure=True and secret_file={file!r} contradict each other; use one"
            )
        return None
    if file is not None:
        try:
            secret = Path(file).read_bytes().strip()
        except OSError as error:
            raise ExecutorConfigError(
                f"{who}: the secret cannot be read from {file!r}: {error.strerror or error}"
            ) from error
    if not secret:
        raise ExecutorConfigError(
            f"{who}: there is no secret to sign messages with, and a packed call is code: whoever "
            f"can publish to NATS could run anything. Name a file with secret_file=, or set "
            f"{SECRET_VARIABLE}, the same for the server and its agents (python -c 'import "
            "secrets; print(secrets.token_hex())' makes one); or write down insecure=True"
        )
    if len(secret) < LEAST_SECRET_BYTES:
        raise ExecutorConfigError(
            f"{who}: the secret has {len(secret)} bytes and can be guessed; give one of at least "
            f"{LEAST_SECRET_BYTES}"
        )
    return secret
