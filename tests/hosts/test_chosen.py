# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A process has one host: the imported one, the named one, or the only one that is installed."""

from __future__ import annotations

from pathlib import Path

import host
import pytest
from programs import run_program

OTHER = "genro_asgi" if host.IS_KAJENN else "kajenn"
OTHERS_NAME = OTHER.replace("_", "-")

BEGIN = """
import os, sys
os.environ.pop("GENRO_EXECUTOR_HOST", None)
sys.path.insert(0, {stub!r})
def refused(do):
    try:
        do()
    except ImportError as error:
        return str(error)
"""


@pytest.fixture
def begin(tmp_path: Path) -> str:
    """The beginning of a program for which both hosts are installed."""
    (tmp_path / f"{OTHER}.py").write_text("IMPORTED = True\n")
    return BEGIN.format(stub=str(tmp_path))


def test_of_two_hosts_one_has_to_be_named(begin: str) -> None:
    """Importing the package alone does not fail: the next line may name the host."""
    shown = run_program(
        "-c",
        f"{begin}import genro_routes, genro_executor_plugin as package\n"
        "print(refused(lambda: package.ExecutorServer))\n"
        f"from genro_executor_plugin.{host.PACKAGE} import ExecutorServer, ExecutorTimeoutError\n"
        f"print(ExecutorServer is package.ExecutorServer, ExecutorServer.__mro__[2].__module__)\n"
        "from genro_routes import Router\n"
        "print('executor' in Router.available_plugins())\n"
        f"print(refused(lambda: __import__({OTHER!r})))\n"
        f"print(refused(lambda: __import__('genro_executor_plugin.{OTHER}')))\n"
        f"print({OTHER!r} in sys.modules)\n",
    ).splitlines()
    for name in ("genro-asgi and kajenn are both installed", "genro_executor_plugin.kajenn"):
        assert name in shown[0]
    assert shown[1] == f"True {host.PACKAGE}.asgi_server"
    assert shown[2] == "True", "the plugin is registered once the host is known"
    for said in shown[3:5]:
        assert f"has {host.DISTRIBUTION} as its host and imports {OTHERS_NAME}, too" in said
    assert shown[5] == "False"


def test_the_host_that_is_imported_is_the_host(begin: str) -> None:
    shown = run_program(
        "-c",
        f"{begin}import {host.PACKAGE}\n"
        "from genro_executor_plugin import ExecutorServer\n"
        "from genro_executor_plugin.hosts.chosen import chosen_host\n"
        "print(chosen_host(), ExecutorServer.__mro__[2].__module__)\n"
        f"sys.modules[{OTHER!r}] = sys\n"
        "print(refused(chosen_host))\n",
    ).splitlines()
    assert shown[0] == f"{host.PACKAGE} {host.PACKAGE}.asgi_server"
    assert "a process can have one of them only" in shown[1]


def test_the_environment_names_the_host_of_a_command(begin: str, tmp_path: Path) -> None:
    """And a recipe that was written for another host is refused with the line that says so."""
    recipe = tmp_path / "config.py"
    shown = run_program(
        "-c",
        f"{begin}from genro_executor_plugin.cli import main\n"
        "sys.stderr = sys.stdout\n"
        "print(main(['check', 'there-is-none.py']))\n"
        f"os.environ['GENRO_EXECUTOR_HOST'] = 'bottle'\n"
        "print(main(['check', 'there-is-none.py']))\n"
        f"os.environ['GENRO_EXECUTOR_HOST'] = {host.DISTRIBUTION!r}\n"
        "print(main(['check', 'there-is-none.py']))\n"
        f"open({str(recipe)!r}, 'w').write('import {OTHER}')\n"
        f"print(main(['check', {str(recipe)!r}]))\n",
    ).splitlines()
    assert "are both installed" in shown[0]
    assert f"GENRO_EXECUTOR_HOST={host.PACKAGE}" in shown[0]
    assert "GENRO_EXECUTOR_HOST=bottle: there is no such host" in shown[2]
    assert "there-is-none.py" in shown[4]
    assert f"config.py:1: HostChoiceError: this process has {host.DISTRIBUTION}" in shown[6]
    assert shown[1] == shown[3] == shown[5] == shown[7] == "2"


def test_a_host_that_is_not_installed_cannot_be_named(tmp_path: Path) -> None:
    shown = run_program(
        "-c",
        BEGIN.format(stub=str(tmp_path))
        + "import importlib.util\n"
        + "found = importlib.util.find_spec\n"
        + f"hidden = lambda name, *more: None if name == {OTHER!r} else found(name, *more)\n"
        + "importlib.util.find_spec = hidden\n"
        + f"print(refused(lambda: __import__('genro_executor_plugin.{OTHER}')))\n",
    )
    assert f"names the host {OTHERS_NAME}, which is not installed: install it" in shown
