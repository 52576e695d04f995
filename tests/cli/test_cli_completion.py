# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor completion``: a real bash completes commands, options and choices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genro_executor_plugin.cli import main
from genro_executor_plugin.cli.completion import SHELLS

ASK = """
set -u
export PATH={folder}:$PATH
eval "$(genro-executor completion bash)"
COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}} COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=({line}) COMP_CWORD={place}
_python_argcomplete genro-executor
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(line: str) -> list[str]:
    """What bash offers behind ``line``."""
    place = len(line.split(" ")) - 1
    script = ASK.format(folder=Path(sys.executable).parent, line=line, place=place)
    bash = ["bash", "--norc", "--noprofile", "-c", script]
    asked = subprocess.run(bash, capture_output=True, text=True, timeout=60, check=True)
    return asked.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("genro-executor ch", ["check"]),
        ("genro-executor completion z", ["zsh"]),
        ("genro-executor check --str", ["--strict"]),
        ("genro-executor serve --rel", ["--reload"]),
        ("genro-executor jobs re", ["retry"]),
    ],
)
def test_bash_completes(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_its_own_lines(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "genro-executor" in capsys.readouterr().out


def test_without_argcomplete_the_cure_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'genro-executor-plugin[completion]'" in capsys.readouterr().err


def test_a_shell_that_asks_without_argcomplete_gets_nothing_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["completion", "bash"]) == 0  # the variable alone is no question
    assert "genro-executor" in capsys.readouterr().out
    monkeypatch.setenv("COMP_LINE", "genro-executor bench ")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--seconds", "0"])
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert "pip install 'genro-executor-plugin[completion]'" in told.err
