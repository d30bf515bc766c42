"""Lost if it fails: an operator starts a portal over plain http or with a guessable key, or mends its settings one
restart at a time while a clinic waits."""

import base64
from pathlib import Path

import pytest

from tenancy import settings
from tenancy.settings import SettingsFault
from wsgi import create_app

KEY = base64.b64encode(bytes(range(32))).decode()
RIGHT = {
    "PORTICO_BASE_URL": "https://portal.example",
    "PORTICO_SECRET_KEY": "s" * 32,
    "PORTICO_MASTER_KEY": KEY,
    "DATABASE_URL": "postgresql://portico:x@127.0.0.1:5432/portico",
    "PORTICO_MAIL_SERVER": "mail.example",
    "PORTICO_MAIL_SENDER": "no-reply@portal.example",
}


def faults(**changed: str | None) -> list[str]:
    environ = {name: value for name, value in (RIGHT | changed).items() if value is not None}
    with pytest.raises(SettingsFault) as fault:
        settings.read(environ)
    return fault.value.faults


def test_right_settings_are_read() -> None:
    read = settings.read(RIGHT | {"HOME": "/root"})
    assert (read.base, read.port, read.is_secure, read.authority) == ("portal.example", None, True, "portal.example")
    assert read.database_url.startswith("postgresql+psycopg://")
    assert read.master_key == bytes(range(32))
    assert (read.mail_port, read.mail_security) == (587, "starttls")  # letters with secrets never in the clear by default


def test_all_faults_are_named_at_once_each_with_its_setting() -> None:
    found = faults(
        PORTICO_BASE_URL="http://portal.example",
        PORTICO_SECRET_KEY="short",
        PORTICO_MASTER_KEY="not base64!",
        DATABASE_URL="mysql://x",
        PORTICO_MAIL_SERVER=None,
        PORTICO_MAIL_PORT="no",
        PORTICO_MAIL_SECURITY="ssl",
        PORTICO_MAIL_SENDER=None,
        PORTICO_MAIL_SENDR="typing@mistake.example",
    )
    named = ["PORTICO_BASE_URL", "SECRET_KEY", "MASTER_KEY", "DATABASE_URL", "MAIL_SERVER is missing", "MAIL_PORT", "MAIL_SECURITY", "MAIL_SENDER is missing", "MAIL_SENDR"]  # fmt: skip
    assert len(found) == len(named)
    for name in named:
        assert len([fault for fault in found if name in fault]) == 1, name
    assert not [fault for fault in found if "short" in fault or "mysql://x" in fault]  # no value is repeated


def test_nothing_at_all_names_everything_required() -> None:
    with pytest.raises(SettingsFault) as fault:
        settings.read({})
    for name in RIGHT:
        assert f"{name} is missing." in fault.value.faults
        assert f"\n  - {name} is missing." in str(fault.value)
    assert str(fault.value).startswith("Portico cannot start:\n  - ")


@pytest.mark.parametrize(
    ("url", "authority", "port"),
    [
        ("https://portal.example:443", "portal.example", None),
        ("https://portal.example:444", "portal.example:444", 444),
        ("https://Portal.Example:80/", "portal.example:80", 80),
        ("http://localhost:80", "localhost", None),
        ("http://localhost:8000", "localhost:8000", 8000),
    ],
)
def test_a_port_is_written_where_it_is_not_the_scheme_s_own(url: str, authority: str, port: int | None) -> None:
    """As browsers write it: any other spelling would be another origin, and every form would be refused."""
    read = settings.read(RIGHT | {"PORTICO_BASE_URL": url})
    assert (read.authority, read.port) == (authority, port)


@pytest.mark.parametrize(("text", "is_port"), [("0", False), ("1", True), ("65535", True), ("65536", False), ("-1", False), ("25a", False)])
def test_a_port_is_a_number_that_a_port_can_have(text: str, is_port: bool) -> None:
    if is_port:
        read = settings.read(RIGHT | {"PORTICO_MAIL_PORT": text, "PORTICO_CLAMD": f"scanner:{text}"})
        assert (read.mail_port, read.clamd) == (int(text), f"scanner:{text}")
    else:
        assert len(faults(PORTICO_MAIL_PORT=text, PORTICO_CLAMD=f"scanner:{text}")) == 2


def test_what_may_be_left_out_is_read_where_it_is_given() -> None:
    read = settings.read(RIGHT)
    assert (read.mail_username, read.mail_password, read.operator, read.database_owner_url) == (None, None, None, None)
    given = {
        "PORTICO_MAIL_USERNAME": "portico", "PORTICO_MAIL_PASSWORD": "secret", "PORTICO_OPERATOR": "Olga",
        "DATABASE_OWNER_URL": "postgres://owner@db/portico",
    }  # fmt: skip
    read = settings.read(RIGHT | given)
    assert (read.mail_username, read.mail_password, read.operator) == ("portico", "secret", "Olga")
    assert read.database_owner_url == "postgresql+psycopg://owner@db/portico"


@pytest.mark.parametrize("url", ["http://portal.example", "http://10.0.0.1", "http://localhost.evil.example", "http://xlocalhost"])
def test_health_records_travel_over_https_outside_this_machine(url: str) -> None:
    assert "must be https" in faults(PORTICO_BASE_URL=url)[0]


@pytest.mark.parametrize(
    "url", ["portal.example", "ftp://portal.example", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:99999", "https://[x"]
)  # fmt: skip
def test_a_base_that_is_no_plain_address_is_refused(url: str) -> None:
    assert [fault for fault in faults(PORTICO_BASE_URL=url) if "BASE_URL" in fault]


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://portal.localhost", "http://portal.test:80"])
def test_plain_http_is_fine_at_home(url: str) -> None:
    assert not settings.read(RIGHT | {"PORTICO_BASE_URL": url}).is_secure


@pytest.mark.parametrize("key", [base64.b64encode(b"x" * 16).decode(), base64.b64encode(b"x" * 33).decode(), "x" * 32, "é", f"!{KEY}"])
def test_the_master_key_is_32_bytes_or_nothing(key: str) -> None:
    assert "openssl rand" in faults(PORTICO_MASTER_KEY=key)[0]


def test_a_value_may_lie_in_a_file(tmp_path: Path) -> None:
    """So that secrets need not stand in the environment, where every child process reads them."""
    kept = tmp_path / "master-key"
    kept.write_text(KEY + "\n")
    environ = {name: value for name, value in RIGHT.items() if name != "PORTICO_MASTER_KEY"}
    assert settings.read(environ | {"PORTICO_MASTER_KEY_FILE": str(kept)}).master_key == bytes(range(32))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    found = faults(PORTICO_SECRET_KEY=None, PORTICO_SECRET_KEY_FILE=str(missing), DATABASE_URL=None)
    assert f"PORTICO_SECRET_KEY_FILE names {missing}, which cannot be read (No such file or directory)." in found
    assert "DATABASE_URL is missing." in found


def test_the_application_does_not_start_on_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RIGHT:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsFault):
        create_app()


@pytest.mark.parametrize("address", ["/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl", "127.0.0.1:3310", "[::1]:3310"])
def test_a_virus_scanner_is_a_path_or_a_port(address: str) -> None:
    assert settings.read(RIGHT).clamd is None
    assert settings.read(RIGHT | {"PORTICO_CLAMD": address}).clamd == address.removeprefix("unix:")


@pytest.mark.parametrize("address", ["yes", "clamd", "127.0.0.1", "127.0.0.1:", ":3310", "127.0.0.1:99999", "run/clamd.ctl"])
def test_a_virus_scanner_that_could_never_answer_is_named(address: str) -> None:
    """Else every file would wait for good."""
    assert "PORTICO_CLAMD must be" in faults(PORTICO_CLAMD=address)[0]


def test_anchors_of_the_audit_log_have_a_folder_that_is_there_or_none(tmp_path: Path) -> None:
    assert settings.read(RIGHT).audit_anchors is None
    assert settings.read(RIGHT | {"PORTICO_AUDIT_ANCHORS": str(tmp_path)}).audit_anchors == tmp_path
    assert "not a folder" in faults(PORTICO_AUDIT_ANCHORS=str(tmp_path / "nowhere"))[0]


KEYS = {"STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}


def test_without_stripe_there_are_no_payments_and_no_money_is_real() -> None:
    read = settings.read(RIGHT)
    assert (read.stripe_api_key, read.stripe_webhook_secret, read.stripe_api_base, read.is_live) == (None, None, None, False)


@pytest.mark.parametrize(
    ("key", "is_live"), [("sk_test_1", False), ("rk_test_1", False), ("sk_live_1", True), ("rk_live_1", True)]
)
def test_the_key_says_whether_money_is_real(key: str, is_live: bool) -> None:
    read = settings.read(RIGHT | KEYS | {"STRIPE_API_KEY": key})
    assert (read.stripe_api_key, read.stripe_webhook_secret, read.is_live) == (key, "whsec_1", is_live)
    assert read.stripe_pages == ("https://checkout.stripe.com", "https://connect.stripe.com")


@pytest.mark.parametrize("missing", KEYS)
def test_a_key_without_its_secret_or_the_reverse_is_named(missing: str) -> None:
    """Else money would be taken and its events refused, or events believed that nobody can fetch."""
    (fault,) = faults(**(KEYS | {missing: None}))
    assert "STRIPE_API_KEY" in fault and "STRIPE_WEBHOOK_SECRET" in fault


def test_a_published_key_is_no_secret_one() -> None:
    (fault,) = faults(**(KEYS | {"STRIPE_API_KEY": "pk_test_abc"}))
    assert "sk_" in fault and "pk_test_abc" not in fault


def test_stripes_key_and_secret_may_lie_in_files(tmp_path: Path) -> None:
    named = {}
    for name, value in KEYS.items():
        (tmp_path / name).write_text(f"{value}\n")
        named[f"{name}_FILE"] = str(tmp_path / name)
    read = settings.read(RIGHT | named)
    assert (read.stripe_api_key, read.stripe_webhook_secret) == ("sk_test_1", "whsec_1")


def test_a_stand_in_has_its_own_pages() -> None:
    read = settings.read(RIGHT | KEYS | {"STRIPE_API_BASE": "http://localhost:12111/"})
    assert read.stripe_api_base == "http://localhost:12111" and read.stripe_pages == ("http://localhost:12111",)


@pytest.mark.parametrize(
    "base", ["localhost:12111", "ftp://localhost", "http://", "http://a/b", "http://u@a", "http://a:", "http://a; b", "http://A"]
)  # fmt: skip
def test_a_stand_in_that_is_no_origin_is_refused(base: str) -> None:
    """It stands in the policy of pages: what is no origin would open them, or close them."""
    assert "STRIPE_API_BASE" in faults(**(KEYS | {"STRIPE_API_BASE": base}))[0]


def test_a_live_key_is_shown_to_stripe_alone() -> None:
    (fault,) = faults(**(KEYS | {"STRIPE_API_KEY": "sk_live_1", "STRIPE_API_BASE": "http://localhost:12111"}))
    assert "live" in fault
