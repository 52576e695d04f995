# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the recipes of a host's configuration are written with: genro-builders and genro-bag.

It is the same for every host. What these packages do not promise and is used all the same is
listed in ``REACHES``, each with what would be used if it were public.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, get_args, get_type_hints

from genro_bag import BagResolver
from genro_builders.builder import BuilderBase, element

from .contract import Reach

__all__ = [
    "REACHES",
    "BagResolver",
    "BuilderBase",
    "FiledElements",
    "argument_types",
    "element",
    "recipe_frame",
    "sub_tags",
]

REACHES = (
    Reach(
        "HOST:AsgiServerGrammar.configuration",
        ("_decorator",),
        use="add a section to those that a grammar allows below an element",
        wish="element.sub_tags",
    ),
    Reach(
        "HOST:AsgiServerGrammar.configuration",
        ("_func",),
        use="read the types of an element's arguments",
        wish="element.signature",
    ),
    Reach(
        "genro_builders.builder:BuilderBase",
        ("_validate_call_args",),
        use="report every mistake in every pool at once, and not the first one only",
        wish="a mark of an element whose arguments are not judged when they are written",
    ),
    Reach(
        "genro_builders.builder:BuilderBase",
        ("set_child",),
        use="file an element of a recipe under its code, with the line it is written in",
        wish="a hook before an element is filed, and the place where it was written",
    ),
)
"""What is used of genro-builders and not promised by it."""


def sub_tags(marker: Any) -> str:
    """What the element ``marker`` of a grammar allows below it."""
    allowed: str = marker._decorator["sub_tags"]
    return allowed


def argument_types(marker: Any, argument: str) -> set[Any]:
    """The types that the element ``marker`` of a grammar takes for ``argument``."""
    hint = get_type_hints(marker._func).get(argument)
    return {getattr(choice, "__origin__", choice) for choice in get_args(hint)}


def recipe_frame(*machinery: str) -> FrameType | None:
    """The frame of the recipe that is being run: the first outside of genro-builders.

    Args:
        machinery: modules that are no recipes, either.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("genro_builders.") and module not in (__name__, *machinery):
            return frame
        frame = frame.f_back
    return None


class FiledElements:
    """A part of a grammar whose ``filed`` elements are looked at when they are written.

    What is wrong with their arguments is not judged then, but by what reads the recipe.
    """

    filed: tuple[str, ...] = ()
    """The tags of those elements."""

    def file_element(self, where: Any, attributes: dict[str, Any]) -> str | None:
        """Change the attributes of an element that is written below ``where``.

        Returns:
            Its label there, ``None`` for the one it would have anyway.
        """

    def set_child(
        self,
        build_where: Any,
        node_tag: str,
        node_value: Any = None,
        node_label: str | None = None,
        node_position: str | int | None = None,
        **attr: Any,
    ) -> Any:
        """File an element, after ``file_element`` has looked at it."""
        if node_tag in self.filed:
            node_label = self.file_element(build_where, attr) or node_label
        return super().set_child(  # type: ignore[misc]
            build_where, node_tag, node_value, node_label, node_position, **attr
        )

    def _validate_call_args(
        self, info: Any, node_value: Any, attr: dict[str, Any], node_tag: str = ""
    ) -> None:
        if node_tag not in self.filed:
            super()._validate_call_args(info, node_value, attr, node_tag)  # type: ignore[misc]
