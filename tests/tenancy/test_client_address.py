"""Lost if it fails: somebody who guesses passwords becomes a new stranger with each header they make up."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from flask import Flask, request

from tenancy import client_address, settings
from tenancy.client_address import NOBODYS
from tenancy.settings import Settings, SettingsFault
from tests.conftest import Cluster
from tests.tenancy.test_settings import RIGHT
from tests.visitor import Visitor


def seen(known: Settings, peer: str | None, forwarded: str | None) -> str:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    return str(client_address.read({name: value for name, value in environ.items() if value is not None}, known))


@pytest.mark.parametrize("forwarded", [None, "203.0.113.9", "203.0.113.9, 198.51.100.1", "nonsense"])
@pytest.mark.parametrize("peer", ["198.51.100.7", "2001:db8::7"])
def test_without_a_proxy_a_header_changes_nothing(cluster: Cluster, peer: str, forwarded: str | None) -> None:
    assert seen(cluster.settings, peer, forwarded) == peer


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("unix", "", "203.0.113.9", "203.0.113.9"),
        ("unix", "", "2001:db8::9", "2001:db8::9"),
        ("unix", None, "203.0.113.9", "203.0.113.9"),
        ("unix", "198.51.100.7", "203.0.113.9", "198.51.100.7"),  # somebody who reached the application past nginx
        ("127.0.0.1", "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "127.0.0.2", "203.0.113.9", "127.0.0.2"),
        ("127.0.0.1", "", "203.0.113.9", str(NOBODYS)),
        ("unix", "", "::ffff:203.0.113.9", "203.0.113.9"),  # one person has one address, however it is written
    ],
)
def test_the_trusted_proxy_alone_is_believed(
    cluster: Cluster, trusted: str, peer: str | None, forwarded: str, expected: str
) -> None:
    assert seen(replace(cluster.settings, trusted_proxy=trusted), peer, forwarded) == expected


@pytest.mark.parametrize("said", [None, "", "1.2.3.4, 5.6.7.8", "1.2.3.4,5.6.7.8", " 1.2.3.4", "1.2.3.4:80", "unknown", "01.2.3.4", "1.2.3.4\n"])  # fmt: skip
def test_what_is_not_exactly_one_address_is_nobodys(cluster: Cluster, said: str | None) -> None:
    """Everybody of whom nothing is known shares one budget: no gap in the proxy opens a way round it."""
    assert seen(replace(cluster.settings, trusted_proxy="unix"), "", said) == str(NOBODYS)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_subscriber_is_one_ipv4_address_or_one_ipv6_network(address: str, network: str) -> None:
    assert str(client_address.network_of(ip_address(address))) == network


def test_inside_a_request_the_address_is_the_peers_whatever_is_sent(app: Flask, front_door: Visitor) -> None:
    """Through the whole application, door first."""
    met: list[str] = []

    def note() -> None:
        met.append(str(client_address.of(request.environ)))

    app.before_request_funcs.setdefault(None, []).append(note)
    try:
        for lie in ("203.0.113.9", "203.0.113.10", "::1"):
            sent = {"X-Forwarded-For": lie, "X-Real-IP": lie, "Forwarded": f"for={lie}", "Client-IP": lie}
            front_door.get("/", headers=sent, environ_overrides={"REMOTE_ADDR": "198.51.100.7"})
    finally:
        app.before_request_funcs[None].remove(note)
    assert met == ["198.51.100.7"] * 3


@pytest.mark.parametrize(
    ("text", "read"),
    [(None, None), ("", None), ("unix", "unix"), ("127.0.0.1", "127.0.0.1"), ("2001:DB8::1", "2001:db8::1")],
)
def test_the_setting_names_a_socket_or_an_address(text: str | None, read: str | None) -> None:
    environ = RIGHT | ({} if text is None else {"PORTICO_TRUSTED_PROXY": text})
    assert settings.read(environ).trusted_proxy == read


@pytest.mark.parametrize("text", ["yes", "10.0.0.0/8", "*", "localhost"])
def test_a_setting_that_would_trust_a_crowd_is_a_fault(text: str) -> None:
    with pytest.raises(SettingsFault, match="PORTICO_TRUSTED_PROXY"):
        settings.read(RIGHT | {"PORTICO_TRUSTED_PROXY": text})
