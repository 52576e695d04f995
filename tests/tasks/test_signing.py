# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The signatures of what is stored: who has made them, and of what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genro_executor_plugin import TaskStoreError
from genro_executor_plugin.tasks.store.signing import KEY_ID_BYTES, Signer, UnsignedError


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return loaded(tmp_path / "keys" / "key")


def loaded(file: Path) -> Signer:
    made = Signer(file)
    made.load()
    return made


def test_the_key_is_made_once_and_is_ours_alone(signer: Signer) -> None:
    assert signer.made
    assert signer.file.stat().st_mode & 0o777 == 0o600
    assert len(signer.file.read_bytes()) == 32
    assert [path.name for path in signer.file.parent.iterdir()] == ["key"]
    again = loaded(signer.file)
    assert not again.made
    assert again.key_id == signer.key_id
    assert len(again.key_id) == KEY_ID_BYTES
    again.check("job", "call", b"bytes", signer.sign("job", "call", b"bytes"))


def test_of_two_that_make_the_key_at_once_both_have_the_first_one(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Signer(signer.file)
    reads = iter((FileNotFoundError, None))
    read = late._read

    def not_there_yet() -> bytes:
        if next(reads, None) is not None:
            raise FileNotFoundError
        return read()

    monkeypatch.setattr(late, "_read", not_there_yet)
    late.load()
    assert not late.made
    assert late.key_id == signer.key_id
    assert [path.name for path in signer.file.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("size", [0, 31, 33, 5000])
def test_a_file_of_another_length_is_no_key(tmp_path: Path, size: int) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_bytes(bytes(size))
    with pytest.raises(TaskStoreError, match=rf"{min(size, 4096)} bytes in place of 32"):
        loaded(file)


def test_a_key_that_others_may_read_is_refused(signer: Signer) -> None:
    signer.file.chmod(0o640)
    with pytest.raises(TaskStoreError, match="others may read it"):
        loaded(signer.file)


def test_no_descriptor_is_left_of_reading_a_key(signer: Signer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        loaded(signer.file)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_was_signed_is_taken_for_that_only(signer: Signer) -> None:
    signature = signer.sign("job", "call", b"bytes")
    assert signature.startswith(signer.key_id)
    assert len(signature) == KEY_ID_BYTES + 32
    signer.check("job", "call", b"bytes", signature)
    for other in (("jobs", "call", b"bytes"), ("job", "result", b"bytes"), ("job", "call", b"byte"),
                  ("jobc", "all", b"bytes"), ("job", "callb", b"ytes"), ("jo", "bcall", b"bytes"),
                  ("", "jobcall", b"bytes"), ("job", "", b"callbytes")):  # fmt: skip
        with pytest.raises(TaskStoreError, match="was changed in the store") as caught:
            signer.check(*other, signature)
        assert not isinstance(caught.value, UnsignedError)
        assert caught.value.task_id == other[0]


def test_another_signature_is_refused(signer: Signer) -> None:
    signature = signer.sign("job", "call", b"bytes")
    for changed in (signature[:-1], signature + b"x", signature[:KEY_ID_BYTES],
                    signature[:-1] + bytes([signature[-1] ^ 1])):  # fmt: skip
        with pytest.raises(TaskStoreError, match="was changed in the store"):
            signer.check("job", "call", b"bytes", changed)


def test_whose_signature_it_is_not_is_said(signer: Signer, tmp_path: Path) -> None:
    other = loaded(tmp_path / "other")
    assert other.key_id != signer.key_id
    with pytest.raises(UnsignedError, match="signed by another key") as caught:
        signer.check("job", "call", b"bytes", other.sign("job", "call", b"bytes"))
    assert caught.value.task_id == "job"
    with pytest.raises(UnsignedError, match="signed by nobody"):
        signer.check("job", "call", b"bytes", None)
    with pytest.raises(UnsignedError, match="signed by another key"):
        signer.check("job", "call", b"bytes", b"")
