# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The host: the ASGI server whose handlers run in pools. Only this package names it.

::

    names                what the package takes from a host, each imported when it is first used
    loaded               what can be said of a host without importing it; workers ask this one
    genro_asgi           those names and functions, from genro-asgi
    genro_asgi_command   those of its command line
    builders             what recipes are written with, the same for every host

Another host is another module beside ``genro_asgi`` with the same names.
"""
