# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The command line: what it says, and its exit codes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import genro_executor_plugin
from genro_executor_plugin.cli import main


def exit_code(*argv: str) -> int | str | None:
    """The code with which argparse ends the process for ``argv``."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return ended.value.code


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` says what there is, and nothing that there is not."""
    assert exit_code("--help") == 0
    shown = capsys.readouterr()
    commands = re.findall(r"^    (\S+)", shown.out.partition("commands:")[2], re.MULTILINE)
    assert commands == [
        "serve",
        "worker",
        "demo",
        "check",
        "top",
        "stack",
        "profile",
        "jobs",
        "bench",
        "debug",
        "completion",
    ]
    assert shown.err == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("serve", ["source", "--host", "--port", "--reload", "--name", "--home", "--debug"]),
        ("worker", ["--url", "--subject", "--pool", "--module", "--secret-file", "SIGTERM"]),
        ("check", ["CONFIG", "--json", "--home", "Exit code: 0 no mistake"]),
        ("top", ["URL", "--token", "--user", "--interval", "--once", "--json"]),
        ("bench", ["FUNCTION", "--arguments", "--workers", "--seconds", "--json"]),
    ],
)
def test_help_of_a_command_names_its_options(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(command, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: genro-executor {command} ")
    for word in words:
        assert word in shown


def test_help_of_demo_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """``demo --help`` says what can be chosen."""
    assert exit_code("demo", "--help") == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--reports", "--port", "--serve", "--json"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` is the package's version."""
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"genro-executor {genro_executor_plugin.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "COMMAND"),
        (["dmeo"], "'dmeo'"),
        (["demo", "--port", "http"], "'http' is not a port (0 to 65535)"),
        (["demo", "--port", "65536"], "'65536' is not a port (0 to 65535)"),
        (["demo", "--reports", "3"], "'3' is not a number of reports from 4 to 1000"),
        (["demo", "--reports", "-1"], "--reports"),
        (["demo", "--serve", "--json"], "not allowed with"),
        (["demo", "--colour"], "--colour"),
        (["serve"], "source"),
        (["serve", "config.py", "--port", "http"], "invalid int value: 'http'"),
        (["serve", "config.py", "--colour"], "--colour"),
        (["bench", "--workers", "0"], "'0' is not a list of numbers of workers from 1 to 256"),
        (["bench", "--workers", "1,,2"], "'1,,2' is not a list"),
        (["bench", "--seconds", "0"], "'0' is not a number of seconds from 0.05"),
        (["top", "h", "--interval", "0"], "'0' is not a number of seconds from 0.2 to 3600"),
        (["top", "h", "--interval", "nan"], "'nan' is not a number of seconds"),
        (["top", "h", "--once", "--json"], "not allowed with"),
        (["top", "h", "--token", "t", "--user", "u"], "not allowed with"),
        (["top"], "URL"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is said in one line, with the way to the help."""
    assert exit_code(*argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert "--help" in shown.err
    assert "\x1b" not in shown.err  # no terminal, no colours


@pytest.mark.parametrize("command", ["worker", "demo", "check", "top", "bench"])
def test_help_loads_neither_server_nor_pdf_library(command: str) -> None:
    """What a command needs is imported when it runs; ``serve`` has genro-asgi's own arguments."""
    program = (
        "import sys\n"
        "from genro_executor_plugin.cli import main\n"
        "try:\n"
        f"    main([{command!r}, '--help'])\n"
        "except SystemExit:\n"
        "    heavy = {'genro_asgi', 'kajenn', 'genro_routes'}\n"
        "    heavy |= {'fpdf', 'curses', 'asyncio', 'psutil'}\n"
        "    sys.exit(bool(heavy & set(sys.modules)))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
