# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Workers that run as another user than their server."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import genro_executor_plugin

METHODS = pytest.mark.parametrize("start_method", ["forkserver", "spawn"])


def python_for(user: str) -> str:
    """A Python of this version that ``user`` may run, or the test is skipped."""
    entry = pwd.getpwnam(user)
    for python in (sys.executable, "/usr/bin/python3"):
        code = "import sys; print(sys.version_info[:2])"
        try:
            done = subprocess.run(
                [python, "-c", code],
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            continue
        if done.stdout.strip() == str(sys.version_info[:2]):
            return python
    pytest.skip(f"no Python {sys.version_info[:2]} here that {user} may run")


def required(name: str, found: dict[str, metadata.Distribution]) -> None:
    """Add what distribution ``name`` needs to ``found``, itself included."""
    if name in found:
        return
    try:
        found[name] = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return  # for another version of Python only
    for requirement in found[name].requires or ():
        if "extra ==" not in requirement:
            required(
                re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-"), found
            )


@pytest.fixture(scope="module")
def for_everybody() -> Iterator[str]:
    """A folder with this package and what it needs, which every user can read."""
    folder = Path(tempfile.mkdtemp(prefix="genro-executor-test-"))
    folder.chmod(0o755)
    found: dict[str, metadata.Distribution] = {}
    required("genro-executor-plugin", found)
    here = Path(genro_executor_plugin.__file__).parent
    shutil.copytree(here, folder / here.name)
    for distribution in found.values():
        tops = {file.parts[0] for file in distribution.files or () if len(file.parts) > 1}
        for top in tops - {"..", here.name, "__pycache__"}:
            shutil.copytree(str(distribution.locate_file(top)), folder / top)
        for file in distribution.files or ():
            if len(file.parts) == 1 and file.suffix in (".py", ".so"):
                shutil.copy(str(distribution.locate_file(file)), folder)
    yield str(folder)
    shutil.rmtree(folder)


AS_ANOTHER_USER = """
import asyncio, os, sys
from genro_executor_plugin import ProcessExecutor

def whoami():
    return os.getuid(), os.geteuid(), os.getgroups(), os.environ["HOME"], os.environ["USER"]

async def main():
    pool = ProcessExecutor("own", max_workers=1, user=sys.argv[1], start_method=sys.argv[2])
    print(await pool.submit(whoami))
    await pool.submit(bytes, 2**20)
    print(os.getuid())
    await pool.shutdown()

if __name__ == "__main__":
    asyncio.run(main())
"""


@METHODS
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have workers of another user")
def test_workers_of_another_user(start_method: str, for_everybody: str) -> None:
    entry = pwd.getpwnam("nobody")
    python = python_for("nobody")
    done = subprocess.run(
        [python, "-c", AS_ANOTHER_USER, "nobody", start_method],
        env={**os.environ, "PYTHONPATH": for_everybody},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    groups = os.getgrouplist("nobody", entry.pw_gid)
    told = (entry.pw_uid, entry.pw_uid, groups, entry.pw_dir, "nobody")
    assert done.stdout == f"{told}\n0\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be asked as another user")
def test_only_root_can_have_workers_of_another_user(for_everybody: str) -> None:
    python = python_for("nobody")
    entry = pwd.getpwnam("nobody")
    code = "from genro_executor_plugin import ProcessExecutor; ProcessExecutor('own', user='root')"
    done = subprocess.run(
        [python, "-c", code],
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        env={**os.environ, "PYTHONPATH": for_everybody},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ExecutorConfigError: pool 'own': user='root' is not possible" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have workers of another user")
def test_a_user_that_cannot_read_the_package_is_told_by_name(for_everybody: str) -> None:
    python = python_for("nobody")
    os.chmod(for_everybody, 0o700)
    try:
        done = subprocess.run(
            [python, "-c", AS_ANOTHER_USER, "nobody", "forkserver"],
            env={**os.environ, "PYTHONPATH": for_everybody},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.chmod(for_everybody, 0o755)
    assert "WorkerCrashedError: pool 'own' cannot start a worker" in done.stderr
    assert f"User 'nobody' has to be able to read {for_everybody}" in done.stderr
    assert "No module named 'genro_executor_plugin'" in done.stderr
