# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Servers of NATS that ask who one is, or encrypt; and what listens and is no server of NATS."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worker_functions as wf
from agents import agent, nats_server, pool_options

from genro_executor_plugin import ExecutorConfigError, ExecutorError, NatsExecutor

pytestmark = pytest.mark.once

PASSWORD, WRONG = "the-right-passphrase", "some-other-passphrase"
USER_SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
USER_KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
"""A pair of the documentation of NATS."""


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def written(content: str) -> str:
        path = tmp_path / f"file{len(list(tmp_path.iterdir()))}"
        path.write_text(content)
        return str(path)

    return written


async def refusal(url: str, **options: Any) -> str:
    """What is said of a server that cannot be used in this way; nothing secret is in it."""
    pool = NatsExecutor("heavy", **pool_options(url, "secured", **options))
    try:
        with pytest.raises(ExecutorError, match=r"NATS .*at \w+://127.0.0.1") as caught:
            await pool.warm()
    finally:
        await pool.shutdown()
    said = str(caught.value)
    assert PASSWORD not in said
    assert WRONG not in said
    return said


async def works(url: str, **options: str) -> None:
    """Both sides are let in, and a call runs."""
    given = (part for name, value in options.items() for part in (_option(name), value))
    with (
        agent(url, "secured", "--pool", "max_workers=1")
        if not options
        else agent(url, "secured", *given)
    ):
        async with NatsExecutor("heavy", **pool_options(url, "secured", **options)) as pool:
            assert await pool.submit(wf.answer) == 42


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


async def test_a_user_and_a_token_are_let_in_and_others_are_told_what_to_correct(file: Any) -> None:
    with nats_server("--user", "ann", "--pass", PASSWORD) as server:
        await works(server.url, login=file(f"ann:{PASSWORD}\n"))
        cure = r"Correct login=, nkey= or credentials="
        for options in ({}, {"login": file(f"ann:{WRONG}")}, {"login": file(WRONG)}):
            assert cure in await refusal(server.url, **options)
        assert "is empty" in await refusal(server.url, login=file(" \n"))
        missing = await refusal(server.url, login="/nowhere/login")
        assert "login='/nowhere/login' cannot be used: No such file" in missing
    with nats_server("--auth", PASSWORD) as server:
        async with NatsExecutor("heavy", **pool_options(server.url, "s", login=file(PASSWORD))):
            pass
        assert cure in await refusal(server.url, login=file(WRONG))


async def test_an_nkey_is_let_in(file: Any, tmp_path: Path) -> None:
    pytest.importorskip("nkeys", reason="nats-py's extra nkeys is not installed")
    config = tmp_path / "nats.conf"
    config.write_text(f"authorization {{ users = [ {{ nkey: {USER_KEY} }} ] }}\n")
    with nats_server("-c", str(config)) as server:
        await works(server.url, nkey=file(USER_SEED))
        said = await refusal(server.url, nkey=file(f"{USER_SEED[:-4]}AAAA"))
        assert "Correct login=, nkey= or credentials=" in said
        assert USER_SEED[:20] not in said


async def test_a_file_of_credentials_that_is_none_is_refused(file: Any) -> None:
    said = await refusal("nats://127.0.0.1:1", credentials=file(PASSWORD))
    assert "has no user's JWT and seed, as nsc writes them" in said


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"
    openssl("req", "-x509", *new, "/CN=tests", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"
    for name in ("server", "client"):
        openssl("req", *new, f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", *signed),
            *("-extfile", "names", "-out", f"{name}.pem"),
        )
    # One of each that is over as soon as it is made.
    for name in ("server", "client"):
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", *signed[:-1], "0"),
            *("-extfile", "names", "-out", f"old-{name}.pem"),
        )
    return folder


# asyncio's own streams over TLS, which nats-py leaves to be collected after a refusal.
@pytest.mark.filterwarnings("ignore:.*__del__:pytest.PytestUnraisableExceptionWarning")
async def test_tls_is_used_and_what_is_wrong_with_it_is_told(certificates: Path, file: Any) -> None:
    ca, cert, key = (str(certificates / name) for name in ("ca.pem", "client.pem", "client.key"))
    served = [
        *("--tlscert", str(certificates / "server.pem")),
        *("--tlskey", str(certificates / "server.key")),
    ]
    with nats_server("--tlsverify", "--tlscacert", ca, *served) as server:
        url = server.url.replace("nats:", "tls:")
        await works(url, tls_ca=ca, tls_cert=cert, tls_key=key)
        assert "its certificate is not trusted" in await refusal(url)
        assert "tls_ca=" in await refusal(server.url)
        assert "in PEM format" in await refusal(url, tls_ca=file(PASSWORD))
        assert "tls_cert=" in await refusal(url, tls_ca=ca, tls_cert=file("x"), tls_key=key)
        assert "give tls_cert=, too" in await refusal(url, tls_ca=ca, tls_key=key)


@pytest.mark.filterwarnings("ignore:.*__del__:pytest.PytestUnraisableExceptionWarning")
async def test_a_certificate_out_of_its_time_is_told(certificates: Path) -> None:
    names = "ca.pem", "client.pem", "client.key", "old-client.pem"
    ca, cert, key, old = (str(certificates / name) for name in names)
    served = "--tlsverify", "--tlscacert", ca, "--tlskey", str(certificates / "server.key")
    for server_cert, ours in (("old-server.pem", cert), ("server.pem", old)):
        with nats_server(*served, "--tlscert", str(certificates / server_cert)) as server:
            url = server.url.replace("nats:", "tls:")
            said = await refusal(url, tls_ca=ca, tls_cert=ours, tls_key=key)
            assert "certificate is out of its time. Renew" in said


async def test_nothing_is_said_in_the_clear_where_tls_was_asked_for(
    certificates: Path, file: Any
) -> None:
    """Who answers in the place of an encrypting server is told neither password nor calls."""
    heard = bytearray()

    async def spy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()

    listening = await asyncio.start_server(spy, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    login, ca = file(f"ann:{PASSWORD}"), str(certificates / "ca.pem")
    for url, options in (
        (f"tls://127.0.0.1:{port}", {}),
        (f"nats://127.0.0.1:{port}", {"tls_ca": ca}),
    ):
        assert "does not offer TLS" in await refusal(url, login=login, **options)
    assert not heard
    listening.close()
    await listening.wait_closed()


@pytest.mark.filterwarnings("ignore:.*__del__:pytest.PytestUnraisableExceptionWarning")
async def test_what_is_no_server_of_nats_is_told(file: Any) -> None:
    over = asyncio.Event()

    async def silent(_reader: Any, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async def web(_reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    for answer, said in ((web, "is no server of NATS"), (silent, "does not answer as NATS does")):
        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        assert said in await refusal(url)
        if answer is silent:
            over.set()
        listening.close()
        await listening.wait_closed()
    with pytest.raises(ExecutorConfigError, match="put user:password"):
        NatsExecutor("heavy", url=f"nats://ann:{PASSWORD}@worker:4222", subject="s")
