# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A document of rows that remembers when each field was last another one.

Who has seen a revision of it is told what has changed since. The ledger knows nothing of those who
ask, so any number of them may.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["Ledger"]

_MOST_GONE = 5000
"""How many rows that are gone are remembered. Who has seen an older revision is told everything."""

_ABSENT = object()


class Ledger:
    """Rows by their section and key; a row has fields.

    Attributes:
        revision: grows with every change.
    """

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)
        self.revision: int = 1
        self._sections: dict[str, dict[str, dict[str, tuple[Any, int]]]] = {}
        self._gone: dict[tuple[str, str], int] = {}
        self._oldest = 0

    @property
    def token(self) -> str:
        """Names this revision of this ledger, for those who ask again."""
        return f"{self._epoch}.{self.revision}"

    def seen(self, token: str) -> int:
        """The revision that ``token`` names; 0, of which everything is new, for another one."""
        epoch, _, number = token.partition(".")
        known = epoch == self._epoch and number.isdecimal() and len(number) < 20
        revision = int(number) if known else 0
        return revision if self._oldest <= revision <= self.revision else 0

    def begin(self) -> None:
        """Begin a revision: what is put from now on is of it, if it differs."""
        self.revision += 1

    def put(self, section: str, key: str, fields: Mapping[str, Any]) -> None:
        """Have these fields in a row. A field that is not named any more becomes ``None``."""
        rows = self._sections.setdefault(section, {})
        row = rows.get(key)
        if row is None:
            row = rows[key] = {}
            self._gone.pop((section, key), None)
        for name, value in fields.items():
            # True is 1 for Python, and not for a reader of JSON.
            before = row.get(name, (_ABSENT, 0))[0]
            if before is not value and (before != value or type(before) is not type(value)):
                row[name] = (value, self.revision)
        if len(row) > len(fields):
            for name in row.keys() - fields.keys():
                if row[name][0] is not None:
                    row[name] = (None, self.revision)

    def retain(self, section: str, keys: Collection[str]) -> None:
        """Forget the rows of ``section`` but these."""
        rows = self._sections.get(section, {})
        for key in rows.keys() - set(keys):
            del rows[key]
            self._gone[section, key] = self.revision
        while len(self._gone) > _MOST_GONE:
            self._oldest = max(self._oldest, self._gone.pop(next(iter(self._gone))))

    def row(self, section: str, key: str) -> dict[str, Any]:
        """All fields of a row."""
        return {name: value for name, (value, _) in self._sections[section][key].items()}

    def changed(self, section: str, since: int) -> dict[str, dict[str, Any]]:
        """The fields that have changed after the revision ``since``, by row."""
        found = {}
        for key, row in self._sections.get(section, {}).items():
            fields = {name: value for name, (value, at) in row.items() if at > since}
            if fields:
                found[key] = fields
        return found

    def gone(self, since: int) -> dict[str, list[str]]:
        """The keys of rows that are gone after the revision ``since``, by section."""
        found: dict[str, list[str]] = {}
        for (section, key), at in self._gone.items():
            if at > since > 0:
                found.setdefault(section, []).append(key)
        return found
