# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The test suite on Pythons that are newer than those of this machine: those of Debian sid.

``python -m tests.newest_pythons FOLDER [--python 3.14]... [-- PYTEST ARGUMENTS]``, as root.

``debootstrap`` makes a small system in ``FOLDER`` once, with Python 3.14 and 3.15. Wheels are
downloaded outside of it, for each Python, and installed there without any network. The suite then
runs in it with ``chroot``. What needs a browser or nginx is skipped there, with that reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent

PYTHONS = ("3.14", "3.15")

SUITE = "sid"
MIRROR = os.environ.get("GENRO_DEBIAN_MIRROR", "http://deb.debian.org/debian")

PLATFORMS = tuple(
    f"manylinux{version}_x86_64"
    for version in (
        "_2_34",
        "_2_28",
        "_2_27",
        "_2_24",
        "_2_17",
        "_2_12",
        "_2_5",
        "2014",
        "2010",
        "1",
    )
)

EXTRAS = "demo,prometheus,test"

MOUNTS = (
    ("proc", "proc", ()),
    ("tmpfs", "dev/shm", ()),
    ("devpts", "dev/pts", ("-o", "newinstance,ptmxmode=0666")),
)

PYTEST = ("-m", "not once", "-q", "-n", "3", "--dist", "loadfile", "-r", "fER")


def lacking() -> str:
    """Why no other system can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "chroot and debootstrap need root"
    if os.uname().machine != "x86_64":
        return "the wheels are chosen for x86_64"
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed"
    return ""


def run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True)


def make_system(system: Path) -> None:
    """Make the small system, unless it is there."""
    done = system / "debootstrap.done"
    if done.exists():
        return
    packages = [f"python{version}{part}" for version in PYTHONS for part in ("", "-venv")]
    chosen = ",".join((*packages, "ca-certificates"))
    run("debootstrap", "--variant=minbase", f"--include={chosen}", SUITE, system, MIRROR)
    done.touch()


@contextmanager
def mounted(system: Path) -> Iterator[None]:
    """What programs expect of the kernel, while the block runs."""
    with ExitStack() as stack:
        for kind, name, options in MOUNTS:
            point = system / name
            point.mkdir(parents=True, exist_ok=True)
            run("mount", "-t", kind, *options, kind, point)
            stack.callback(run, "umount", "--lazy", point)
        yield


def put_wheels(system: Path, python: str) -> str:
    """Download the wheels for ``python`` into the system; return the folder's name there."""
    name = f"wheels-{python}"
    folder = system / name
    shutil.rmtree(folder, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.iterdir()
    version = python.replace(".", "")
    run(
        *(*pip, "download", "--quiet", "--only-binary=:all:", "--python-version", python),
        *("--implementation", "cp", "--abi", f"cp{version}", "--abi", "abi3", "--abi", "none"),
        *(part for platform in PLATFORMS for part in ("--platform", platform)),
        *("--dest", folder, f"{wheel}[{EXTRAS}]"),
    )
    return f"/{name}"


def try_python(system: Path, python: str, arguments: list[str]) -> int:
    """Install the package for ``python`` in the system and run the tests; return their status."""
    wheels = put_wheels(system, python)
    venv = f"/venv-{python}"
    # Options of ``env`` come before its variables: behind them, they would be one more variable.
    env = ("chroot", system, "/usr/bin/env", "-i")
    path = f"PATH={venv}/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    variables = ("HOME=/root", "LANG=C.UTF-8", path)
    inside = (*env, *variables)
    run(*inside, f"/usr/bin/python{python}", "-m", "venv", "--clear", venv)
    (ours,) = (system / wheels[1:]).glob("genro_executor_plugin-*.whl")
    package = f"{wheels}/{ours.name}[{EXTRAS}]"
    install = ("-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, package)
    run(*inside, f"{venv}/bin/python", *install)
    sources = system / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir()
    with tempfile.TemporaryFile() as archive:
        # The files of the working copy, changed or not, without what git does not know.
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
        )
        pack = ["tar", "--create", "--null", "--files-from=-"]
        subprocess.run(pack, cwd=ROOT, input=listed.stdout, stdout=archive, check=True)
        archive.seek(0)
        subprocess.run(["tar", "--extract"], cwd=sources, stdin=archive, check=True)
    # The package that is tested is the installed one.
    shutil.rmtree(sources / "genro_executor_plugin")
    command = [*env, "--chdir=/sources", *variables, f"{venv}/bin/python", "-m", "pytest"]
    command += arguments
    print("+", *command, flush=True)
    return subprocess.run(list(map(str, command)), check=False).returncode


def main() -> int:
    """Run the tests on each Python; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.newest_pythons", description="The test suite on Debian sid's Pythons."
    )
    parser.add_argument("folder", type=Path, help="where the system is, or is made")
    parser.add_argument("--python", action="append", choices=PYTHONS)
    given = sys.argv[1:]
    # Behind ``--`` everything is pytest's; argparse would take it for a second lot of its own.
    end = given.index("--") if "--" in given else len(given)
    chosen, for_pytest = parser.parse_args(given[:end]), given[end + 1 :]
    if reason := lacking():
        print(f"NOT TRIED: {', '.join(chosen.python or PYTHONS)}: {reason}")
        return 0
    system = chosen.folder.absolute() / "system"
    system.parent.mkdir(parents=True, exist_ok=True)
    make_system(system)
    statuses = {}
    with mounted(system):
        for python in chosen.python or PYTHONS:
            statuses[python] = try_python(system, python, for_pytest or list(PYTEST))
    for python, status in statuses.items():
        print(f"Python {python}: {'passed' if status == 0 else f'pytest ended with {status}'}")
    return max(statuses.values())


if __name__ == "__main__":
    sys.exit(main())
