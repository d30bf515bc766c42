"""The languages that people read."""

from enum import StrEnum


class Language(StrEnum):
    """As browsers and catalogues name them. English is what the source is written in."""

    ENGLISH = "en"
    SPANISH = "es"


NAMES = {Language.ENGLISH: "English", Language.SPANISH: "Español"}  # each in its own words
