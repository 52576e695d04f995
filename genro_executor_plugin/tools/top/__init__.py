# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What ``genro-executor top`` does: the console's snapshot in a terminal, live."""
