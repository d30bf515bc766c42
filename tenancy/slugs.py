"""The Custom Portal URL: its grammar, the words nobody may take, and the route converter that holds both."""

import re

from werkzeug.routing import BaseConverter, ValidationError

SHORTEST, LONGEST = 3, 40
GRAMMAR = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
RESERVED = frozenset(
    ["about", "abuse", "account", "admin", "administrator", "api", "app", "apps", "asset", "auth", "billing", "blog", "bounce", "calendar", "careers", "cdn", "chat", "clinic", "cname", "config", "contact", "css", "dashboard", "demo", "dev", "developer", "dns", "docs", "document", "download", "email", "event", "faq", "feedback", "file", "forum", "ftp", "git", "graphql", "health", "help", "home", "host", "hostmaster", "http", "https", "image", "imap", "img", "info", "intake", "internal", "invite", "invoice", "invitation", "js", "legal", "letter", "link", "live", "local", "localhost", "log", "login", "logout", "mail", "mailer", "manage", "media", "metrics", "mobile", "monitor", "mta", "new", "news", "nginx", "noc", "noreply", "no-reply", "ns", "null", "oauth", "official", "operator", "operations", "order", "owner", "patient", "pay", "payment", "pop", "pop3", "portal", "portico", "post", "postmaster", "pricing", "privacy", "private", "prod", "production", "proxy", "public", "queue", "register", "root", "sales", "secure", "security", "server", "service", "session", "setting", "setup", "shop", "sign-in", "sign-out", "signin", "signup", "sip", "sitemap", "smtp", "ssh", "ssl", "sso", "staff", "staging", "stage", "static", "stats", "status", "store", "stripe", "subdomain", "support", "survey", "sys", "sysadmin", "system", "team", "terms", "test", "testing", "tls", "tool", "undefined", "update", "upload", "url", "user", "vpn", "web", "webhook", "webmail", "webmaster", "well-known", "wiki", "www", "xml"]
)


def is_reserved(slug: str) -> bool:
    """Whether the word, its singular or its plural belongs to the platform."""
    forms = {slug, slug.removesuffix("s"), slug.removesuffix("es")}
    if slug.endswith("ies"):
        forms.add(slug[:-3] + "y")
    return bool(forms & RESERVED) or bool(re.fullmatch(r"(?:ns|mx|www|smtp|mail|web)\d+", slug))


def has_grammar(slug: str) -> bool:
    """a–z, 0–9 and single inner hyphens, 3 to 40 characters; hence never `xn--`."""
    return SHORTEST <= len(slug) <= LONGEST and GRAMMAR.fullmatch(slug) is not None


def may_be_taken(slug: str) -> bool:
    """Whether a clinic could have this address, were it free."""
    return has_grammar(slug) and not is_reserved(slug)


def made_from(name: str) -> str:
    """A slug to propose for a clinic's name, folded to plain letters: `"st. mary's clinic"` → `"st-marys-clinic"`."""
    return re.sub(r"[^a-z0-9]+", "-", name.replace("'", "")).strip("-")[:LONGEST].rstrip("-")


def look_alike(one: str, other: str) -> bool:
    """Whether two different slugs are one letter added, dropped, changed or swapped apart."""
    if one == other:
        return False
    short, long = sorted((one, other), key=len)
    start = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[start + 1 : start + 2] + short[start : start + 1] + short[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or swapped == long[start:]


class PortalSlug(BaseConverter):
    """Matches a clinic's slug and nothing else: not `admin`, not Werkzeug's `<invalid>`, not a bare host."""

    regex = r"[a-z0-9-]{3,40}"

    def to_python(self, value: str) -> str:
        if not may_be_taken(value):
            raise ValidationError(value)
        return value
