"""Why TLS could not be had with a peer, in words for whoever has to mend it.

OpenSSL tells it in lists of triples whose last part is terse, and different from version to
version; of a certificate that does not pass it says no more than that.  So the certificates are
judged with :func:`verify`, which keeps the reason; :func:`tls_problem` puts the rest into words.
"""

from __future__ import annotations

from typing import Final

from OpenSSL.crypto import X509
from OpenSSL.SSL import Connection, Error
from twisted.python.failure import Failure

_VERDICTS: Final = {
    9: "is not valid yet",
    10: "has expired",
    18: "is its own authority",
    19: "comes from an authority that is not in our ca file",
    20: "comes from an authority that is not in our ca file",
    21: "comes from an authority that is not in our ca file",
    23: "was revoked",
    26: "is not meant for this purpose",
}
"""What ``X509_V_ERR_*`` means of a certificate."""

_OTHER_PROTOCOL: Final = frozenset(
    {
        "wrong version number",
        "unknown protocol",
        "http request",
        "https proxy request",
        "invalid record",
        "bad record type",
        "packet length too long",
        "record layer failure",
        "unexpected message",
        "length too short",
    }
)
_TOO_OLD: Final = frozenset({"unsupported protocol", "version too low", "wrong ssl version"})
_REFUSED: Final = (
    "bad certificate",
    "unsupported certificate",
    "certificate revoked",
    "certificate expired",
    "certificate unknown",
    "unknown ca",
    "certificate required",
    "access denied",
)
"""Alerts by which a peer says what it thinks of our certificate, as the ends of their names."""


class CertificateRefused(Error):
    """The peer's certificate does not pass."""

    def __init__(self, text: str) -> None:
        # In the shape of OpenSSL's own, which Twisted looks into.
        super().__init__([("ofagent", "verify", text)])
        self.text = text

    def __str__(self) -> str:
        return self.text


def verify(connection: Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
    """What OpenSSL asks about each certificate of a peer's chain.

    :param error: ``X509_V_ERR_*``.
    :param depth: 0 is the peer's own.
    :raises CertificateRefused: OpenSSL's verdict, with its reason, instead of OpenSSL's exception.
    """
    if ok:
        return True
    whose = "its certificate" if depth == 0 else "an authority of its certificate"
    verdict = _VERDICTS.get(error, f"does not pass (X509_V_ERR {error})")
    raise CertificateRefused(f"TLS: {whose}{_subject(certificate)} {verdict}")


def _subject(certificate: X509) -> str:
    name = certificate.get_subject().commonName
    return f" ({name})" if name else ""


def tls_problem(failure: Failure) -> str:
    """Why TLS ended a connection; empty: it was not TLS that did."""
    error = failure.value
    if isinstance(error, CertificateRefused):
        return str(error)
    if not isinstance(error, Error):
        return ""
    reason = _reason(error)
    if reason in _OTHER_PROTOCOL:
        return "TLS: the peer speaks something else, maybe plain OpenFlow"
    if reason == "peer did not return a certificate":
        return "TLS: the peer has no certificate"
    if reason in _TOO_OLD or reason.endswith("protocol version"):
        return "TLS: the peer does not speak TLS 1.2 or later"
    for alert in _REFUSED:
        if reason.endswith(alert):
            return f"TLS: the peer refuses our certificate: {alert}"
    return f"TLS: {reason or 'failed'}"


def _reason(error: Error) -> str:
    """The first reason that OpenSSL gives; empty: it gives none."""
    problems = error.args[0] if error.args else None
    if isinstance(problems, list) and problems:
        return str(problems[0][-1])
    return str(problems or "")
