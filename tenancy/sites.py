"""Host → site: a pure reading of the Host header against the platform's base, before anything else runs."""

import re
from dataclasses import dataclass

from tenancy.settings import Settings
from tenancy.slugs import may_be_taken

ADMIN_LABEL = "admin"
# Mailed links live below this path. A redirect to a clinic's new address leaves the secret behind.
LINK_PATH = "/link/"
_HOST = re.compile(r"([A-Za-z0-9.-]{1,253})(?::(\d{1,5}))?")


@dataclass(frozen=True)
class Apex:
    """The front door, `<base>`."""


@dataclass(frozen=True)
class Admin:
    """Staff pages, `admin.<base>`; the clinic stands in the path."""


@dataclass(frozen=True)
class Portal:
    """One clinic's portal, `<slug>.<base>`. The slug has the grammar; whether a clinic has it is not known yet."""

    slug: str


@dataclass(frozen=True)
class Unknown:
    """Any other host."""


Site = Apex | Admin | Portal | Unknown


def site_of(host: str, settings: Settings) -> Site:
    """The site that a Host header names. Case is folded; a port other than ours makes it unknown."""
    match = _HOST.fullmatch(host)
    if match is None:
        return Unknown()
    name, port = match[1].lower(), match[2]
    own_port = settings.port or (443 if settings.is_secure else 80)
    # A proxy forwards $host, which has no port.
    if port is not None and int(port) != own_port:
        return Unknown()
    if name == settings.base:
        return Apex()
    label, _, rest = name.partition(".")
    if rest != settings.base:
        return Unknown()
    if label == ADMIN_LABEL:
        return Admin()
    return Portal(label) if may_be_taken(label) else Unknown()


def host_of(site: Apex | Admin | Portal, settings: Settings) -> str:
    """How a site's host is written: lower case, with our port if it is not the scheme's own."""
    if isinstance(site, Apex):
        return settings.authority
    return f"{ADMIN_LABEL if isinstance(site, Admin) else site.slug}.{settings.authority}"


def portal_url(settings: Settings, slug: str, path: str = "/") -> str:
    """The address of a page on a clinic's portal; `path` begins with a slash."""
    return f"{settings.scheme}://{slug}.{settings.authority}{path}"


def admin_url(settings: Settings, slug: str, path: str = "/") -> str:
    """The address of a staff page of a clinic; `path` begins with a slash."""
    return f"{settings.scheme}://{ADMIN_LABEL}.{settings.authority}/{slug}{path}"


def front_door_url(settings: Settings) -> str:
    return f"{settings.scheme}://{settings.authority}/"


def path_without_secret(path: str) -> str:
    """`/link/<purpose>/<token>` → `/link/<purpose>`; any other path as it is."""
    if not path.startswith(LINK_PATH):
        return path
    return LINK_PATH + path[len(LINK_PATH) :].partition("/")[0]
