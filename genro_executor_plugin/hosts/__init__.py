# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The host: the ASGI server whose handlers run in pools. Only this package names it.

::

    names                what the package takes from a host, each imported when it is first used
    chosen               which of the hosts this process has
    loaded               what can be said of a host without importing it; workers ask this one
    contract             the types of what is told of a host
    surface              what every host has under the same name
    genro_asgi, kajenn   what each of them is asked in a way of its own, under the same names
    common, life, tools, command, answers, stock
                         what all of them are asked in the same way
    reaches              what is used of them and not promised by them
    builders             what recipes are written with, the same for every host

Another host is another module beside ``genro_asgi`` with the same names.
"""
