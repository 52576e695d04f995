# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The host's side: pools as a part of a server, of its configuration and of its applications."""
