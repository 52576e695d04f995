# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Signatures of what is stored: a pickle that this server has not written is never read.

The key is a file that only the server's user can read. It does not lie in the store: whoever
edits a copy of the store and has it copied back does not have the key. A signature also says to
which job the bytes belong, and as what, so that signed bytes mean nothing in another place.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import struct
from pathlib import Path

from ...errors import TaskStoreError
from .folder import make_folder, open_file

__all__ = ["KEY_ID_BYTES", "Signer", "UnsignedError"]

_KEY_BYTES = 32

KEY_ID_BYTES = 8
"""How many bytes of a signature say which key has made it."""


class UnsignedError(TaskStoreError):
    """Nobody or another key has signed it. It may be right, and is kept until it is accepted."""


class Signer:
    """Signs with the key in ``file``, which is made if there is none.

    Attributes:
        file: where the key is.
        made: whether ``load`` has made the key.
        key_id: the beginning of every signature by this key.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.made: bool = False
        self.key_id: bytes = b""
        self._key = b""

    def load(self) -> None:
        """Read the key, or make it.

        Raises:
            TaskStoreError: others can read or write it, or it is no key.
            OSError: it cannot be read or made.
        """
        make_folder(self.file.parent)
        try:
            self._key = self._read()
        except FileNotFoundError:
            self._key = self._make()
        if len(self._key) != _KEY_BYTES:
            raise TaskStoreError(
                f"the key of long jobs {self.file} has {len(self._key)} bytes in place of "
                f"{_KEY_BYTES}. Bring back the right file; without it, remove this one, and start "
                "once with long_tasks={'accept_unsigned': True} if you trust the store"
            )
        self.key_id = hashlib.sha256(b"id of " + self._key).digest()[:KEY_ID_BYTES]

    def _read(self) -> bytes:
        descriptor = open_file(self.file, os.O_RDONLY, secret=True)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)

    def _make(self) -> bytes:
        """Make the key in one step, so that of several servers that start at once all have one."""
        key = secrets.token_bytes(_KEY_BYTES)
        draft = self.file.with_name(f"{self.file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(descriptor, key)
            os.fsync(descriptor)
            os.link(draft, self.file)
        except FileExistsError:
            return self._read()
        finally:
            os.close(descriptor)
            draft.unlink()
        self.made = True
        return key

    def sign(self, task_id: str, kind: str, content: bytes) -> bytes:
        """The signature of ``content`` as the ``kind`` of a job."""
        return self.key_id + self._digest(task_id, kind, content)

    def check(self, task_id: str, kind: str, content: bytes, signature: bytes | None) -> None:
        """Check that this key has signed ``content`` as the ``kind`` of this job.

        Raises:
            UnsignedError: nobody or another key has signed it.
            TaskStoreError: it has changed since.
        """
        if signature is None or signature[:KEY_ID_BYTES] != self.key_id:
            by = "nobody" if signature is None else "another key"
            raise UnsignedError(
                f"the {kind} of job {task_id} is signed by {by}, and is not read: it could run "
                f"code. The key is {self.file}. If you trust the store, start once with "
                "long_tasks={'accept_unsigned': True}",
                task_id=task_id,
            )
        expected = self._digest(task_id, kind, content)
        if not hmac.compare_digest(signature[KEY_ID_BYTES:], expected):
            raise TaskStoreError(
                f"the {kind} of job {task_id} was changed in the store: its signature is another "
                "one. It is not read: it could run code",
                task_id=task_id,
            )

    def _digest(self, task_id: str, kind: str, content: bytes) -> bytes:
        name, what = task_id.encode(), kind.encode()
        # With their lengths: a job's own bytes must not pass for a part of its name.
        made = hmac.new(self._key, struct.pack(">II", len(name), len(what)), hashlib.sha256)
        for part in (name, what, content):
            made.update(part)
        return made.digest()
