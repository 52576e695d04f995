# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A server without authentication: its console asks for a token, wherever a request comes from."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from apps.works import Works
from host import AsgiServer
from servers import Site, serving

from genro_executor_plugin import ExecutorConfigError, ExecutorConsole, ExecutorServer
from genro_executor_plugin.console import token_files
from genro_executor_plugin.console.token import TOKEN_HEADER, TOKEN_VARIABLE, ConsoleToken

POOLS: dict[str, Any] = {"pdf": {"max_workers": 1}, "db": {"executor_type": "thread"}}
CLOSED = ("", "snapshot", "openapi", "static/console.js", "change/pause")
EVIL = "https://evil.example"

PROXIES = (
    "x-forwarded-for", "forwarded", "x-real-ip", "via", "x-forwarded-proto", "cf-connecting-ip",
    "x-client-ip", "x-forwarded-server", "true-client-ip",
)  # fmt: skip
"""What a proxy may add; that it adds none of them is the commonest case."""


@pytest.fixture(params=[ExecutorServer, AsgiServer])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A site whose applications allow every other site to read; its client is a stranger."""
    server = request.param(
        applications=[(ExecutorConsole, {"executors": POOLS}), Works],
        middleware={"cors": True},
        tasks=False,
    )
    async with serving(server=server) as site:
        del site.client.headers[TOKEN_HEADER]
        yield site


async def ask(site: Site, path: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    method = "POST" if path.startswith("change/") else "GET"
    content = b'{"pool": "pdf"}' if method == "POST" else None
    given = {"content-type": "application/json", **given} if content else given
    return await site.client.request(method, f"/_executors/{path}", headers=given, content=content)


def written_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.json"))


def token_of(site: Site) -> ConsoleToken:
    token: ConsoleToken = site.app("_executors").token
    return token


async def test_whoever_has_no_token_is_refused_from_wherever_it_comes(site: Site) -> None:
    hosts: list[dict[str, str]] = [{}, {"host": "localhost"}, {"host": "www.shop.example"}]
    hosts += [{name: "127.0.0.1"} for name in PROXIES]
    hosts += [{TOKEN_HEADER: wrong} for wrong in ("", "x", token_of(site).value[:-1])]
    hosts += [{"cookie": f"{token_of(site).cookie}={wrong}"} for wrong in ("", "x", '"')]
    for path in CLOSED:
        for headers in hosts:
            answer = await ask(site, path, **headers)
            assert answer.status_code == 401, (path, headers)
            assert "asks for a token" in answer.text
            assert token_of(site).value not in answer.text
    assert (await ask(site, "metrics")).status_code == 200
    assert (await ask(site, "health")).json() == {"healthy": True}
    assert not site.server.executors.get("pdf").paused


async def test_the_token_opens_everything_in_a_header_and_in_a_cookie(site: Site) -> None:
    token = token_of(site)
    for path in CLOSED:
        for headers in (
            {TOKEN_HEADER: token.value},
            {"cookie": f"a=b; {token.cookie}={token.value}; c"},
        ):
            assert (await ask(site, path, **headers)).status_code == 200, path
    assert site.server.executors.get("pdf").paused


async def test_the_link_leads_to_a_url_without_the_token(site: Site) -> None:
    token = token_of(site)
    answer = await site.get("/_executors/", token=token.value)
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    cookie = next(
        one for one in answer.headers.get_list("set-cookie") if one.startswith(token.cookie)
    )
    assert cookie == f"{token.cookie}={token.value}; HttpOnly; SameSite=Strict"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    kept = f"{token.cookie}={token.value}"
    assert (await ask(site, "", cookie=kept)).status_code == 200
    without_slash = await site.get("/_executors", token="a b")
    assert without_slash.headers["location"] == "_executors/?token=a%20b"
    site.client.cookies.clear()
    for wrong in ("x", "", "\u00e9", token.value + "x"):
        answer = await site.get("/_executors/", token=wrong)
        assert answer.status_code == 401
        assert token.cookie not in str(answer.headers.get_list("set-cookie"))


async def test_a_long_query_is_not_led_on(site: Site) -> None:
    """A proxy answers 502 for headers that are too long."""
    answer = await site.client.get(f"/_executors?token={'9' * 5000}")
    assert answer.status_code == 307
    assert answer.headers["location"] == "_executors/"


def test_the_cookie_is_for_tls_alone_where_there_is_tls() -> None:
    assert ConsoleToken("x" * 16).set_cookie(secure=True).endswith(b"; SameSite=Strict; Secure")


def test_two_servers_of_one_host_have_cookies_of_their_own() -> None:
    assert ConsoleToken().cookie != ConsoleToken().cookie


async def test_no_other_site_reads_or_changes_though_it_may_read_the_applications(
    site: Site,
) -> None:
    token = {TOKEN_HEADER: token_of(site).value}
    for path in (*CLOSED, "metrics", "health", "health/live"):
        for headers in (
            {"origin": EVIL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
            {"sec-fetch-site": "same-site"},
            {"origin": EVIL},
            {"origin": "null"},
            {"origin": "http://[broken"},
        ):
            answer = await ask(site, path, **token, **headers)
            assert answer.status_code == 403, (path, headers)
            assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"origin": EVIL, "access-control-request-method": "POST"}
    preflight = await site.client.options("/_executors/change/pause", headers=asked)
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    other = await site.client.get("/works/ping", headers={"origin": EVIL})
    assert other.headers["access-control-allow-origin"] == "*"
    assert not site.server.executors.get("pdf").paused


async def test_a_link_on_another_site_may_be_followed_to_the_page_alone(site: Site) -> None:
    token = {TOKEN_HEADER: token_of(site).value}
    followed = {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    }
    assert (await ask(site, "", **token, **followed)).status_code == 200
    for path in ("snapshot", "metrics", "change/pause"):
        assert (await ask(site, path, **token, **followed)).status_code == 403
    framed = {**followed, "sec-fetch-dest": "iframe"}
    assert (await ask(site, "", **token, **framed)).status_code == 403


async def test_what_is_no_host_is_a_400(site: Site) -> None:
    for host in ("[", "[::1", "a]", "[x]:1", "[::1].evil", "a b", "a/b", "\u00e9"):
        for path in (*CLOSED, "metrics", "health"):
            answer = await site.client.request(
                "POST" if path.startswith("change/") else "GET",
                f"/_executors/{path}",
                headers=[(b"host", host.encode())],
            )
            assert answer.status_code == 400, (host, path)


async def test_open_is_for_everybody_and_says_so_at_every_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        caplog.clear()
        console = (ExecutorConsole, {"open": True})
        async with serving(console, Works, executors=POOLS) as site:
            del site.client.headers[TOKEN_HEADER]
            for path in CLOSED:
                assert (await ask(site, path, host="www.shop.example")).status_code == 200
                assert (await ask(site, path, origin=EVIL)).status_code == 403
            link = await site.get("/_executors/", token="any")
            assert (link.status_code, link.headers["location"]) == (303, "./")
        assert [m for m in caplog.messages if "whoever reaches this server controls its pools" in m]


# -- what is said and written at the start ---------------------------------------------------------


async def test_the_log_has_the_link_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "genro_executor_plugin"):
        async with serving(ExecutorConsole, Works, executors=POOLS) as site:
            token = token_of(site).value
    (said,) = [record for record in caplog.records if token in record.getMessage()]
    assert said.levelno == logging.WARNING
    assert "has no authentication" in said.getMessage()
    assert f"/_executors/?token={token}" in said.getMessage()


async def test_with_authentication_there_is_no_token(caplog: pytest.LogCaptureFixture) -> None:
    auth = {"basic": {"ada": {"password": "pw", "tags": "SERVER_ADMIN"}}}
    with caplog.at_level(logging.INFO, "genro_executor_plugin"):
        async with serving(ExecutorConsole, Works, executors=POOLS, auth=auth) as site:
            for path in CLOSED:
                answer = await ask(site, path, **{TOKEN_HEADER: token_of(site).value})
                assert answer.status_code == 401, path
            assert not list(token_files._files())
    assert not [message for message in caplog.messages if "token" in message]


async def test_a_token_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (ExecutorConsole, {"token": "a-token-of-my-own"})
    async with serving(given, Works, executors=POOLS) as site:
        assert token_of(site).value == "a-token-of-my-own"
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token-of-the-environment")
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        assert token_of(site).value == "a-token-of-the-environment"
    monkeypatch.setenv(TOKEN_VARIABLE, "guess-me")
    with pytest.raises(ExecutorConfigError, match=TOKEN_VARIABLE) as caught:
        ExecutorServer(applications=[ExecutorConsole])
    assert "guess-me" not in str(caught.value)


async def test_the_token_is_written_for_its_user_alone_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        (path,) = written_in(tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        token, port = token_of(site).value, site.client.base_url.port
        assert json.loads(path.read_text())["token"] == token
        assert port is not None
        assert token_files.tokens_of_port(port) == [token]
        assert token_files.tokens_of_port(1) == [], "a token goes to its own server's port alone"
    assert not written_in(tmp_path)


async def test_servers_that_one_process_has_started_ask_for_one_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of ``uvicorn --workers 2``; a browser does not know which of them it reaches."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with (
        serving(ExecutorConsole, Works, executors=POOLS) as one,
        serving(ExecutorConsole, Works, executors=POOLS) as other,
    ):
        assert token_of(one).value == token_of(other).value
    first = token_files.publish(None)
    first.remove()
    assert token_files.publish(None).token != first.token, "one that has ended is forgotten"


def test_a_file_that_is_not_ours_alone_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = token_files.publish("x" * 20)
    assert [one.token for one in token_files._files()] == ["x" * 20]
    made.path.chmod(0o644)
    assert not list(token_files._files())
    made.path.chmod(0o600)
    link = made.path.with_name("link.json")
    link.symlink_to(made.path)
    assert [one.path for one in token_files._files()] == [made.path]
    link.unlink()
    for content in ("", "{", "[]", "{}", '{"pid": "x"}', "\u00e9", '{"pid": 1e999}'):
        made.path.write_text(content)
        assert not list(token_files._files()), content
    os.mkfifo(link, 0o600)
    assert not list(token_files._files())
    link.unlink()
    made.path.parent.chmod(0o777)
    later = token_files.publish(None)
    assert not later.path.exists(), "others could have put a file there"
    assert re.fullmatch(r"[\w-]{32}", later.token)
