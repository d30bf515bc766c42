"""Which network address a request came from: the peer's own, or what the one trusted proxy says of its peer.

A header that anybody can send decides nothing. nginx is trusted by PORTICO_TRUSTED_PROXY; it sets X-Forwarded-For to one
address and drops whatever the client sent. Read once a request, by the middleware.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from wsgiref.types import WSGIEnvironment

from tenancy.settings import BY_SOCKET, Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

CLIENT = "portico.client"  # environ key: the client's address
NOBODYS = IPv6Address("::")  # whoever cannot be told from others shares this one
HOUSEHOLD = 64  # bits: what one IPv6 subscriber has addresses under, as many as they like


def read(environ: WSGIEnvironment, settings: Settings) -> Address:
    """The address of a request that has just arrived; NOBODYS where it cannot be read."""
    peer = environ.get("REMOTE_ADDR", "")
    if settings.trusted_proxy is None or not _is_the_proxy(peer, settings.trusted_proxy):
        return _parsed(peer)
    return _parsed(environ.get("HTTP_X_FORWARDED_FOR", ""))


def of(environ: WSGIEnvironment) -> Address:
    """The client's address of a request that is inside."""
    address: Address = environ[CLIENT]
    return address


def network_of(address: Address) -> Network:
    """What one subscriber holds: a single IPv4 address, a /64 of IPv6."""
    if isinstance(address, IPv4Address):
        return IPv4Network(address)
    return IPv6Network((int(address), HOUSEHOLD), strict=False)


def _is_the_proxy(peer: str, trusted: str) -> bool:
    """gunicorn names no peer for a connection over its unix socket."""
    return peer == "" if trusted == BY_SOCKET else str(_parsed(peer)) == trusted


def _parsed(text: str) -> Address:
    """Exactly one address; an IPv4 address in IPv6 clothes is the IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return NOBODYS
    return getattr(address, "ipv4_mapped", None) or address
