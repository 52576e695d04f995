# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether a server and an agent run the same code: their versions, and digests of modules.

A call names its function. An agent with another version of that module would run something else
without a word, so an agent tells what it has, and a server speaks to those that match.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["CodeVersion", "digest_of"]


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """What code a process has.

    Attributes:
        python: implementation and version of Python, as far as bytecode depends on it.
        package: the version of this package.
        cloudpickle: the version of cloudpickle, which has pickled functions without a name.
        modules: digests of modules by their names; empty for an agent that serves all modules.
    """

    python: str
    package: str
    cloudpickle: str
    modules: Mapping[str, str]

    @classmethod
    def here(cls, modules: Iterable[str] = ()) -> CodeVersion:
        """What this process has, with the digests of ``modules``.

        Raises:
            ImportError: a module is not there.
        """
        digests = {}
        for name in modules:
            digest = digest_of(name)
            if digest is None:
                raise ImportError(f"there is no module {name!r} here")
            digests[name] = digest
        python = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
        return cls(python, _version("genro-executor-plugin"), _version("cloudpickle"), digests)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> CodeVersion:
        """What ``as_dict`` has made plain data of."""
        modules = {str(name): str(digest) for name, digest in known["modules"].items()}
        python, package, cloudpickle = (str(known[name]) for name in _VERSIONS)
        return cls(python, package, cloudpickle, modules)

    def as_dict(self) -> dict[str, Any]:
        """This as plain data."""
        return asdict(self)

    def serves(self, module: str) -> bool:
        """Whether functions of ``module`` may be called there."""
        return not self.modules or any(
            module == name or module.startswith(name + ".") for name in self.modules
        )

    def difference(self, there: CodeVersion, digests: Mapping[str, str | None]) -> str:
        """How ``there``, which an agent has, differs from this server's code; ``""`` for not.

        Args:
            there: what the agent has.
            digests: of the modules that the agent names, those that this process has; ``None``
                for one that it does not have.
        """
        told = [
            f"{name} is {getattr(self, name)} here and {getattr(there, name)} there"
            for name in _VERSIONS
            if getattr(self, name) != getattr(there, name)
        ]
        told += [
            f"the source of module {name} differs ({(digests.get(name) or '')[:8]} here, "
            f"{theirs[:8]} there)"
            for name, theirs in there.modules.items()
            if digests.get(name) not in (None, theirs)
        ]
        return "; ".join(told)


_VERSIONS = ("python", "package", "cloudpickle")


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def digest_of(module: str) -> str | None:
    """The digest of the source of ``module``, with all below it; ``None`` if it is not there.

    It reads files, and imports the packages that ``module`` lies in.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    digest = hashlib.sha256()
    for folder in spec.submodule_search_locations or ():
        root = Path(folder)
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + _content(path))
    if spec.submodule_search_locations is None and spec.origin is not None:
        digest.update(_content(Path(spec.origin)))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""  # built into the interpreter, or gone while it was looked at
