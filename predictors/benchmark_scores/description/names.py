"""How benchmark names are cut into tokens and families, and which words name languages."""

import re

_LANGUAGES = """
    afrikaans albanian amharic arabic armenian assamese azerbaijani basque belarusian bengali bhojpuri bosnian
    bulgarian burmese cantonese catalan cebuano chinese croatian czech danish dutch english estonian ethiopian faroese
    farsi filipino finnish french galician georgian german germanic greek gujarati hausa hebrew hindi hinglish
    hungarian icelandic igbo indic indonesian irish italian japanese javanese kannada kazakh khmer korean kurdish
    kyrgyz lao latin latvian lithuanian macedonian maithili malay malayalam maltese mandarin marathi moldavian
    mongolian nepali nordic norwegian odia oriya oromo pashto persian pidgin polish portuguese punjabi quechua romance
    romanian russian sanskrit scandinavian serbian sindhi sinhala slavic slovak slovenian somali spanish sundanese
    swahili swedish swiss tagalog tamil tatar telugu thai tibetan tigrinya turkic turkish turkmen ukrainian urdu
    uyghur uzbek vietnamese welsh wolof xhosa yoruba zulu multilingual african european asian indian brazilian
    flemish bokmål nynorsk kinyarwanda code python java javascript sql
"""
LANGUAGE_WORDS: frozenset[str] = frozenset(_LANGUAGES.split())

_GENERIC_WORDS = """
    retrieval classification clustering reranking rerank pair multilabel multi label bitext mining sts sentiment
    analysis task test dev benchmark dataset data eval hard negatives v1 v2 v3 p2p s2s t2t c2t t2c fast small large
    lite nano mini long short qa nli reviews review news article articles topic the and of for instruction code
    pl nl vn vi fa de fr es it ru ja ko zh ar hi tr sv da no nb fi cs en pt id th bn te ta ur sw he el hu ro bg uk
    local multilingual cross lingual
"""
_GENERIC = frozenset(_GENERIC_WORDS.split())
_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")


def name_tokens(name: str) -> list[str]:
    """Parts of a name: camel case, digits and separators all cut (``CQADupstack-NL`` is CQA Dupstack NL)."""
    return _TOKEN.findall(name)


def _specific(name: str) -> list[str]:
    tokens = [token.lower() for token in name_tokens(name)]
    return [t for t in tokens if t not in _GENERIC and t not in LANGUAGE_WORDS and not t.isdigit() and len(t) > 1]


def name_family(name: str) -> str:
    """Name without version, language, type of task and numbers; the whole name where nothing else is left."""
    specific = _specific(name)
    return " ".join(specific) if specific else name.lower()


def name_prefix(name: str) -> str | None:
    """First specific token of a name, None where there is none."""
    specific = _specific(name)
    return specific[0] if specific else None
