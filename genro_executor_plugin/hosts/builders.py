# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the recipes of a host's configuration are written with: genro-builders and genro-bag."""

from __future__ import annotations

from genro_bag import BagResolver
from genro_builders.builder import BuilderBase, element

__all__ = ["BagResolver", "BuilderBase", "element"]
