"""People's names as they are searched and sorted: folded to lower case without accents, word by word."""

import re
import unicodedata

from flask_babel import lazy_gettext as _l

from tenancy.errors import Refused

LONGEST = 120
_NO_WORD = re.compile(r"[^\w@.+'-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def folded(text: str) -> str:
    """`"María-José  Núñez"` → `"maria-jose nunez"`."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _NO_WORD.sub(" ", plain).strip()


def search_words(text: str) -> list[str]:
    """The words of a search, at most six. Signs alone become a word that nobody has: nobody is found, not all."""
    return folded(text).split()[:6] or (["%"] if text.strip() else [])


def check_name(text: str, *, field: str = "name") -> str:
    """A name fit to be stored and to stand in a letter's header. Raises Refused."""
    name = " ".join(text.split())
    if not name:
        raise Refused(_l("Enter a name."), field=field)
    if len(name) > LONGEST:
        raise Refused(_l("A name can have at most 120 characters."), field=field)
    if _CONTROL.search(text) or "=?" in name:
        raise Refused(_l("This name holds characters that cannot be stored."), field=field)
    return name
