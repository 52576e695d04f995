# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.versus OLD``: the engine's figures for two versions, in alternation.

``OLD`` (and ``--new``, this checkout if it is not given) is a wheel, or a folder that the package
``genro_executor_plugin`` lies in: a checkout, or what ``pip install --target`` made. Each version
is copied into a folder of its own with the measuring code of this checkout, which uses public
names only, and every measurement is a process of its own: old, new, old, new, ... What else the
machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import compileall
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.options import positive_count, positive_seconds
from benchmarks.processes import ROOT, ModuleProcess

__all__ = ["FIGURES", "Figure", "Version"]

_PACKAGE = "genro_executor_plugin"
_PROBE_SECONDS = 60.0
"""How much longer than its measurement a process may take."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the engine.

    Attributes:
        title: what a reader calls it, with the unit.
        measure: the name of the measurement in ``benchmarks.measures``.
        key: what the measurement calls the figure.
        more_is_better: whether a ratio above 1 is an improvement.
        needs: a module without which it cannot be measured.
    """

    title: str
    measure: str
    key: str
    more_is_better: bool = False
    needs: str = ""


FIGURES = (
    Figure("no-op, pinned, p50, us", "pinned", "p50_us"),
    Figure("no-op, 64 callers, calls/s", "throughput", "per_second", more_is_better=True),
    Figure("1 ms of work, 64 callers, calls/s", "work", "per_second", more_is_better=True),
    Figure("10 MB in and out, p50, ms", "payload", "p50_ms", needs="numpy"),
)

LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the package that is ready to be measured.

    Attributes:
        root: the folder that it lies in with the measuring code.
        told: its version and where it came from.
    """

    root: Path
    told: str

    def figures(self, measure: str, loop: str, seconds: float) -> dict[str, float]:
        """One run of ``measure``.

        Raises:
            RuntimeError: it printed no figures; the message says why.
        """
        with ModuleProcess(
            "benchmarks.probe", measure, "ours", loop, str(seconds), root=self.root
        ) as probe:
            figures: dict[str, float] = json.loads(probe.first_line(_PROBE_SECONDS + 4 * seconds))
            probe.wait()
            return figures


def prepared(source: Path, folder: Path) -> Version:
    """The version in ``source``, copied to ``folder``, compiled and tried.

    Raises:
        FileNotFoundError: there is no package in ``source``.
        RuntimeError: a pool of it does not run.
    """
    if source.is_file():
        with zipfile.ZipFile(source) as wheel:
            wheel.extractall(folder)  # a wheel of pure Python is installed by unpacking it
    elif (source / _PACKAGE).is_dir():
        shutil.copytree(
            source / _PACKAGE, folder / _PACKAGE, ignore=shutil.ignore_patterns("__pycache__")
        )
    if not (folder / _PACKAGE / "__init__.py").is_file():
        raise FileNotFoundError(f"{source} is neither a wheel of {_PACKAGE} nor a folder with it")
    shutil.copytree(
        ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__")
    )
    compileall.compile_dir(folder, quiet=1)
    with ModuleProcess("benchmarks.installed", root=folder) as process:
        installed: dict[str, str] = json.loads(process.first_line(_PROBE_SECONDS))
        process.wait()
    for side in ("server", "worker"):
        if not Path(installed[side]).resolve().is_relative_to(folder.resolve()):
            raise RuntimeError(f"the {side} of {source} imports {installed[side]}, not {folder}")
    return Version(folder, f"{installed['version']} from {source}{_commit(source)}")


def _commit(source: Path) -> str:
    """The commit that is checked out in ``source``, in brackets; empty if it is no checkout."""
    if not (source / ".git").exists():
        return ""
    git = ("git", "--no-optional-locks", "-C", str(source))
    commit = subprocess.run((*git, "rev-parse", "--short", "HEAD"), capture_output=True, text=True)
    if commit.returncode != 0:
        return ""
    changed = subprocess.run(
        (*git, "status", "--porcelain", "--", _PACKAGE), capture_output=True, text=True
    )
    return f" (commit {commit.stdout.strip()}{', changed' if changed.stdout else ''})"


def main(arguments: list[str]) -> int:
    """Measure both versions and print their medians.

    Returns:
        0 whatever the figures are, 2 when a version cannot be measured, 130 when interrupted.
    """
    chosen = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="genro-executor-versus-") as folder:
            old = prepared(chosen.old, Path(folder) / "old")
            new = prepared(chosen.new, Path(folder) / "new")
            print(f"old: {old.told}\nnew: {new.told}", flush=True)
            print(f"{chosen.rounds} rounds of {chosen.seconds:g} s, in alternation", flush=True)
            rows = [
                _compared(figure, loop, (old, new), chosen.rounds, chosen.seconds)
                for figure in FIGURES
                for loop in LOOPS
                if chosen.only in f"{figure.title}, {loop}" and _can_be_measured(figure, loop)
            ]
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        print(f"benchmarks.versus: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; all processes have ended.", file=sys.stderr)
        return 130
    if chosen.json is not None:
        document = {"old": old.told, "new": new.told, "figures": rows}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus", description=__doc__)
    parser.add_argument("old", type=Path, help="a wheel, or a folder with the package")
    parser.add_argument("--new", type=Path, default=ROOT, help="likewise (default: this checkout)")
    parser.add_argument("--rounds", type=positive_count, default=5, help="runs of each version")
    parser.add_argument("--seconds", type=positive_seconds, default=1.0, help="length of a run")
    parser.add_argument("--only", default="", metavar="TEXT", help="figures named like this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    return parser


def _can_be_measured(figure: Figure, loop: str) -> bool:
    missing = [
        module
        for module in (figure.needs, loop if loop != "asyncio" else "")
        if module and find_spec(module) is None
    ]
    if missing:
        print(f"{figure.title}, {loop}: left out, {missing[0]} is not installed", flush=True)
    return not missing


def _compared(
    figure: Figure, loop: str, versions: Sequence[Version], rounds: int, seconds: float
) -> dict[str, Any]:
    """Measure ``figure`` in turns, print its line and return it with every sample."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for version, into in zip(versions, samples, strict=True):
            into.append(version.figures(figure.measure, loop, seconds)[figure.key])
    old, new = (statistics.median(values) for values in samples)
    better = "more" if figure.more_is_better else "less"
    print(
        f"{f'{figure.title}, {loop}':45} old {old:10,.1f}  new {new:10,.1f}  "
        f"new/old {new / old:5.2f}  ({better} is better)",
        flush=True,
    )
    return {
        "figure": figure.title,
        "loop": loop,
        "old": old,
        "new": new,
        "ratio": new / old,
        "more_is_better": figure.more_is_better,
        "samples": {"old": samples[0], "new": samples[1]},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
