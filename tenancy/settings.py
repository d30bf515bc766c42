"""Settings, read from the environment once. Everything missing, malformed or unknown is named at once."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "PORTICO_"
KNOWN = {
    "PORTICO_BASE_URL",
    "PORTICO_SECRET_KEY",
    "PORTICO_MASTER_KEY",
    "PORTICO_MAIL_SERVER",
    "PORTICO_MAIL_PORT",
    "PORTICO_MAIL_SECURITY",
    "PORTICO_MAIL_USERNAME",
    "PORTICO_MAIL_PASSWORD",
    "PORTICO_MAIL_SENDER",
    "PORTICO_OPERATOR",
    "PORTICO_CLAMD",
    "PORTICO_TRUSTED_PROXY",
    "PORTICO_AUDIT_ANCHORS",
}
# Read by the tests and the two commands, never by the application.
OF_THE_COMMANDS = {"PORTICO_EVERY_TIER", "PORTICO_DATA"}
STRIPE_PAGES = ("https://checkout.stripe.com", "https://connect.stripe.com")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")  # as it stands in a page's policy
LIVE_KEYS, TEST_KEYS = ("sk_live_", "rk_live_"), ("sk_test_", "rk_test_")
MAIL_SECURITY = ("none", "starttls", "tls")
BY_SOCKET = "unix"  # the proxy reaches the application over its unix socket, where nobody else can


class SettingsFault(Exception):
    """One or more settings are wrong; `faults` lists a sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("Portico cannot start:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Settings:
    """What the running application needs to know of its surroundings."""

    scheme: str
    base: str  # host name without port, lower case
    port: int | None  # None where it is the scheme's own
    secret_key: str
    master_key: bytes  # 32 bytes
    database_url: str
    database_owner_url: str | None  # migrations only
    mail_server: str
    mail_port: int
    mail_security: str
    mail_username: str | None
    mail_password: str | None
    mail_sender: str
    operator: str | None
    clamd: str | None = None  # path of ClamAV's socket, or host:port
    trusted_proxy: str | None = None  # BY_SOCKET or an address; None where no proxy stands in front
    audit_anchors: Path | None = None  # the folder, outside the database, that keeps the audit log's heads
    stripe_api_key: str | None = None  # the platform's own; None where no clinic takes payments
    stripe_webhook_secret: str | None = None  # set where the key is
    stripe_api_base: str | None = None  # origin of a stand-in for Stripe; None: Stripe itself

    @property
    def authority(self) -> str:
        return self.base if self.port is None else f"{self.base}:{self.port}"

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @property
    def is_live(self) -> bool:
        """Whether Stripe moves real money."""
        return (self.stripe_api_key or "").startswith(LIVE_KEYS)

    @property
    def stripe_pages(self) -> tuple[str, ...]:
        """Origins of the pages that Stripe, or its stand-in, shows to people."""
        return (self.stripe_api_base,) if self.stripe_api_base else STRIPE_PAGES


class _Reader:
    """Collects values and faults; a value may stand in NAME or in the file that NAME_FILE names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []

    def text(self, name: str, *, default: str | None = None, required: bool = True) -> str:
        if path := self.environ.get(f"{name}_FILE"):
            try:
                return Path(path).read_text().strip()
            except OSError as error:
                self.faults.append(f"{name}_FILE names {path}, which cannot be read ({error.strerror}).")
                return ""
        value = self.environ.get(name, "").strip() or default
        if value is None:
            if required:
                self.faults.append(f"{name} is missing.")
            return ""
        return value

    def unknown(self) -> None:
        allowed = KNOWN | OF_THE_COMMANDS
        for name in sorted(self.environ):
            if name.startswith(PREFIX) and name.removesuffix("_FILE") not in allowed:
                self.faults.append(f"{name} is not a setting of Portico; is it a typing mistake?")


def _base_url(reader: _Reader) -> tuple[str, str, int | None]:
    text = reader.text("PORTICO_BASE_URL")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = (parts.hostname or "").lower()
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    if text and not (parts.scheme in ("http", "https") and host and plain):
        reader.faults.append("PORTICO_BASE_URL must look like https://portal.example or http://localhost:8000.")
    if parts.scheme == "http" and host and host != "localhost" and not host.endswith((".localhost", ".test")):
        reader.faults.append("PORTICO_BASE_URL must be https outside localhost: health records travel over it.")
    own = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, host, None if port == own else port


def _master_key(reader: _Reader) -> bytes:
    text = reader.text("PORTICO_MASTER_KEY")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if text and len(key) != 32:
        reader.faults.append("PORTICO_MASTER_KEY must be 32 bytes in base64 (openssl rand -base64 32).")
    return key


def _port(reader: _Reader, name: str, default: str) -> int:
    text = reader.text(name, default=default)
    if not _is_port(text):
        reader.faults.append(f"{name} must be a port number.")
        text = default
    return int(text)


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65536


def _trusted_proxy(reader: _Reader) -> str | None:
    text = reader.text("PORTICO_TRUSTED_PROXY", required=False)
    if text in ("", BY_SOCKET):
        return text or None
    try:
        return str(ip_address(text))
    except ValueError:
        reader.faults.append("PORTICO_TRUSTED_PROXY must be unix, or the proxy's own address.")
        return None


def _postgresql(reader: _Reader, name: str, *, required: bool) -> str:
    url = reader.text(name, required=required)
    if url and not url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        reader.faults.append(f"{name} must be a postgresql:// address.")
    _, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if url else ""


def _clamd(reader: _Reader) -> str | None:
    text = reader.text("PORTICO_CLAMD", required=False).removeprefix("unix:")
    host, _, port = text.rpartition(":")
    if text and not text.startswith("/") and not (host and _is_port(port)):
        reader.faults.append("PORTICO_CLAMD must be the path of clamd's socket, or host:port.")
    return text or None


def _stripe(reader: _Reader) -> dict[str, str | None]:
    """The three fields: none, or a key with its secret."""
    key = reader.text("STRIPE_API_KEY", required=False)
    secret = reader.text("STRIPE_WEBHOOK_SECRET", required=False)
    base = reader.text("STRIPE_API_BASE", required=False).rstrip("/")
    if bool(key) != bool(secret):
        reader.faults.append("STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET belong together: set both, or neither.")
    if key and not key.startswith(LIVE_KEYS + TEST_KEYS):
        reader.faults.append("STRIPE_API_KEY must be a secret or restricted key: it begins with sk_ or rk_.")
    if base and not ORIGIN.fullmatch(base):
        reader.faults.append("STRIPE_API_BASE must look like http://localhost:12111; leave it out for Stripe itself.")
    if base and key.startswith(LIVE_KEYS):
        reader.faults.append("STRIPE_API_BASE names a stand-in for Stripe, and a live STRIPE_API_KEY is for Stripe alone.")
    return {"stripe_api_key": key or None, "stripe_webhook_secret": secret or None, "stripe_api_base": base or None}


def read(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`. Raises SettingsFault naming every fault, not the first."""
    reader = _Reader(environ)
    scheme, base, port = _base_url(reader)
    secret_key = reader.text("PORTICO_SECRET_KEY")
    if secret_key and len(secret_key) < 32:
        reader.faults.append("PORTICO_SECRET_KEY must be at least 32 characters.")
    security = reader.text("PORTICO_MAIL_SECURITY", default="starttls")
    if security not in MAIL_SECURITY:
        reader.faults.append("PORTICO_MAIL_SECURITY must be none, starttls or tls.")
    anchors = reader.text("PORTICO_AUDIT_ANCHORS", required=False)
    if anchors and not Path(anchors).is_dir():
        reader.faults.append(f"PORTICO_AUDIT_ANCHORS names {anchors}, which is not a folder.")
    settings = Settings(
        scheme=scheme,
        base=base,
        port=port,
        secret_key=secret_key,
        master_key=_master_key(reader),
        database_url=_postgresql(reader, "DATABASE_URL", required=True),
        database_owner_url=_postgresql(reader, "DATABASE_OWNER_URL", required=False) or None,
        mail_server=reader.text("PORTICO_MAIL_SERVER"),
        mail_port=_port(reader, "PORTICO_MAIL_PORT", "587"),
        mail_security=security,
        mail_username=reader.text("PORTICO_MAIL_USERNAME", required=False) or None,
        mail_password=reader.text("PORTICO_MAIL_PASSWORD", required=False) or None,
        mail_sender=reader.text("PORTICO_MAIL_SENDER"),
        operator=reader.text("PORTICO_OPERATOR", required=False) or None,
        clamd=_clamd(reader),
        trusted_proxy=_trusted_proxy(reader),
        audit_anchors=Path(anchors) if anchors else None,
        **_stripe(reader),
    )
    reader.unknown()
    if reader.faults:
        raise SettingsFault(reader.faults)
    return settings
