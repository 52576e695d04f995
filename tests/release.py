# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether this checkout can be released: ``python -m tests.release FOLDER``.

It builds the sdist and the wheel twice, the second time from the first sdist, and both have to be
the same bytes; has twine and check-wheel-contents look at them; runs tests of the unpacked sdist;
times the import of the package; and writes into FOLDER, beside what it has built, what the
package depends on (``sbom.json``, CycloneDX) and under which licences that may be used.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[1]

_MOST_IMPORT_MS = 30.0
"""How much of a CPU's time ``import genro_executor_plugin`` may take, in the median of eleven."""

_TESTED = ("tests/options", "tests/worker", "tests/test_import_layers.py")
"""What of the unpacked sdist is run: a part that needs files of every kind."""

_FREE = re.compile(r"Apache|BSD|MIT|ISC|PSF|Python|MPL|Unlicense|Zlib|CC0|LGPL", re.IGNORECASE)
"""Licences under which this package may depend on another."""

_IMPORT = """
import time
began = time.process_time()
import genro_executor_plugin
print((time.process_time() - began) * 1e3)
"""


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    first = _built(_ROOT, folder)
    faults = []
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(next(path for path in first if path.name.endswith(".tar.gz"))) as sdist:
            sdist.extractall(scratch, filter="data")
        (unpacked,) = Path(scratch).iterdir()
        again = _built(unpacked, Path(scratch, "again"))
        faults += [
            f"{one.name} built from the sdist is not the same"
            for one, other in zip(first, again, strict=True)
            if _digest(one) != _digest(other)
        ]
        for checker in (["twine", "check", "--strict"], ["check_wheel_contents"]):
            files = [str(path) for path in first if checker[0] == "twine" or path.suffix == ".whl"]
            if _python("-m", *checker, *files):
                faults.append(f"{checker[0]} has found something")
        if _python("-m", "pytest", "-q", "-p", "no:cacheprovider", *_TESTED, cwd=unpacked):
            faults.append("tests of the unpacked sdist fail")
    milliseconds = _import_time()
    print(f"import genro_executor_plugin: {milliseconds:.1f} ms, {_MOST_IMPORT_MS:.0f} at most")
    if milliseconds > _MOST_IMPORT_MS:
        faults.append(f"the import takes {milliseconds:.1f} ms")
    licences = _licences()
    _write_sbom(folder / "sbom.json", licences)
    faults += [
        f"{name} {version} is under {licence!r}"
        for name, version, licence in licences
        if not _FREE.search(licence)
    ]
    for path in first:
        print(_digest(path), path.name)
    for fault in faults:
        print("not to be released:", fault)
    return bool(faults)


def _python(*arguments: str, cwd: Path = _ROOT) -> int:
    print("$ python", *arguments, flush=True)
    return subprocess.run([sys.executable, *arguments], cwd=cwd, check=False).returncode


def _built(source: Path, folder: Path) -> list[Path]:
    command = [sys.executable, "-m", "build", "--quiet", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True)
    return sorted(folder.iterdir())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _import_time() -> float:
    command = [sys.executable, "-c", _IMPORT]
    times = [float(subprocess.check_output(command, cwd="/")) for _ in range(12)]
    return statistics.median(times[1:])  # the first one may compile


def _licences() -> list[tuple[str, str, str]]:
    """Name, version and licence of everything that this package needs to be installed."""
    found: dict[str, tuple[str, str, str]] = {}
    names = ["genro-executor-plugin"]
    while names:
        name = names.pop()
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for other systems or Pythons
        said = distribution.metadata
        classified = [
            one.rpartition(" :: ")[2]
            for one in said.get_all("Classifier") or []
            if one.startswith("License ::")
        ]
        text = (said.get("License") or "").partition("\n")[0]
        licence = said.get("License-Expression") or ", ".join(classified) or text
        found[name] = name, distribution.version, licence
        names += [
            re.split(r"[^\w.-]", one)[0].lower()
            for one in distribution.requires or []
            if "extra ==" not in one
        ]
    return sorted(found.values())


def _write_sbom(path: Path, licences: list[tuple[str, str, str]]) -> None:
    components = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"name": licence}}],
        }
        for name, version, licence in licences
    ]
    sbom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    path.write_text(json.dumps(sbom, indent=1) + "\n", encoding="utf-8")
    print(f"{len(licences)} packages are needed, this one included; {path}")


if __name__ == "__main__":
    sys.exit(main())
