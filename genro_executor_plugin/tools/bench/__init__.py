# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What ``genro-executor bench`` does: measure this machine, and say how many workers suit it."""
