"""Text in two languages from one place: what is said in Danish is said in English, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("da", "en")


@dataclass(frozen=True, slots=True)
class Words:
    """One text, English and Danish. Neither is empty, and what is filled in ({name}) is the same in both."""

    en: str
    da: str

    def say(self, lang: str, **values: object) -> str:
        """Return the text in "en" or "da", {names} filled in."""
        text = self.da if lang == "da" else self.en
        return text.format(**values) if values else text


def same(text: str) -> Words:
    """Return a text that is the same in both languages: a name, a number, a term of the field."""
    return Words(text, text)
