# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Why a server of NATS cannot be reached, and what can be done about it."""

from __future__ import annotations

__all__ = ["reason_and_cure"]

_CURES = (
    (
        ("does not offer tls",),
        "tls:// and tls_ca= ask for it, and nothing was said to the server. Start nats-server with "
        "--tls, or correct url=",
    ),
    (
        ("certificate has expired", "certificate expired", "certificate is not yet valid"),
        "a certificate is out of its time. Renew the server's or that of tls_cert=, whichever it "
        "is, or correct the clock of this machine",
    ),
    (
        ("user authentication expired", "credentials expired"),
        "what lets us in has expired. Put a new JWT into the file of credentials=",
    ),
    (
        ("certificate_verify_failed", "hostname mismatch", "ip address mismatch"),
        "its certificate is not trusted, or is for another name. Name the file of the authority "
        "that has signed it with tls_ca=, and use the name in it in url=",
    ),
    (
        ("certificate required", "bad certificate", "handshake failure"),
        "it wants a certificate of ours that it trusts. Correct tls_cert= and tls_key=",
    ),
    (
        ("authorization", "authentication", "nkey", "jwt", "seed"),
        "it does not let us in. Correct login=, nkey= or credentials=, or what the server knows",
    ),
    (
        ("connection reset", "unexpected eof"),
        "it has closed the connection, as it does with those whom it does not let in. Correct "
        "login=, nkey= or credentials=, or url=",
    ),
    (
        ("expecting info", "json parse error"),
        "what listens there is no server of NATS. Correct url=",
    ),
    (
        ("timeout",),
        "something takes connections there and does not answer as NATS does. Look at what "
        "listens there, and at what is between; or correct url=",
    ),
)
"""Words in what went wrong, in small letters, and what to do then."""

_OTHERWISE = "Start a nats-server there, or correct url= and what lets you in"


def reason_and_cure(error: BaseException) -> str:
    """What went wrong, and the cure, as sentences; nothing in them is a secret."""
    text = str(error) or type(error).__name__
    lowered = f"{type(error).__name__} {text}".lower()
    for words, cure in _CURES:
        if any(word in lowered for word in words):
            return f"{text}: {cure}"
    return f"{text}. {_OTHERWISE}"
