# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a server and an agent on another machine say to each other, and how each trusts the other.

::

    server                                   agent
    ------                                   -----
    engines/nats/                            agent/
       \\                                      /
        messages.py    what is said           bytes of plain data, no class of anybody
        envelope.py    who says it to whom    signed, checked before anything of it is read
        subjects.py    where it is said       the subjects of NATS
        connection.py  nats-py                imported when a connection is made, and not before

Both sides use these modules, so that there is one description of the protocol. What a call *is*,
nothing here knows: it is the packed call of ``portable/``.
"""
