# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The host: the ASGI server whose handlers run in pools. Only this package names it.

::

    names                what the package takes from a host, each imported when it is first used
    loaded               what can be said of a host without importing it; workers ask this one
    contract             the types of what is told of a host
    genro_asgi           those names and functions, from genro-asgi
    genro_asgi_command   those of its command line
    genro_asgi_reaches   what is used of genro-asgi and not promised by it
    builders             what recipes are written with, the same for every host

Another host is another module beside ``genro_asgi`` with the same names.
"""
