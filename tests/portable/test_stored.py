# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Bytes that are kept on disk: what of this package they may name, and how they are read."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from genro_executor_plugin import (
    ExecutorServer,
    SentFile,
    SerializationError,
    TaskLimitError,
    TaskState,
    TaskStatus,
    progress,
)
from genro_executor_plugin.portable import stored
from genro_executor_plugin.portable.exceptions import pack_stored_failure, unpack_failure
from genro_executor_plugin.portable.pickling import dumps_stored
from genro_executor_plugin.portable.results import pack_stored_result
from genro_executor_plugin.portable.state.format import ReplicaHereError


@pytest.mark.parametrize(
    "value",
    [
        SentFile("/srv/a.pdf"),
        TaskState.LOST,
        TaskStatus("id", TaskState.LOST, "title", "pool"),
        progress,
        ExecutorServer,
        [TaskStatus, ExecutorServer.executor],
    ],
    ids=["file", "state", "status", "function", "class", "method"],
)
def test_public_values_are_stored_by_their_public_names(value: Any) -> None:
    content = dumps_stored(value)
    assert stored.loads(content) == value
    defined_in = getattr(value, "__module__", type(value).__module__)
    assert defined_in.encode() not in content or defined_in == "builtins"


def test_a_public_name_is_found_wherever_a_former_version_had_it() -> None:
    assert stored.loads(b"cgenro_executor_plugin.files\nSentFile\n.") is SentFile
    assert stored.loads(b"cgenro_executor_plugin.pickling\n_resolve\n.") is stored.resolve
    with pytest.raises(ModuleNotFoundError):
        stored.loads(b"cgenro_executor_plugin.files\nNoSuchName\n.")


def test_what_is_private_is_not_stored() -> None:
    with pytest.raises(pickle.PicklingError, match="is no public name of genro_executor_plugin"):
        dumps_stored(ReplicaHereError)
    with pytest.raises(SerializationError, match=r"the result of f .*is no public name"):
        pack_stored_result([ReplicaHereError("x")], "f")


def test_a_failure_is_stored_without_a_private_cause() -> None:
    """What the cause was is in the traceback."""
    try:
        try:
            raise ReplicaHereError("of a private class")
        except ReplicaHereError as cause:
            raise TaskLimitError("too many", task_id="x") from cause
    except TaskLimitError as error:
        content = pack_stored_failure(error)
    failure = unpack_failure(content, stored.loads)
    assert isinstance(failure, TaskLimitError)
    assert str(failure) == "too many"
    assert "ReplicaHereError: of a private class" in str(failure.__cause__)
