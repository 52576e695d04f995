# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m genro_executor_plugin.cli`` is the command ``genro-executor``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
