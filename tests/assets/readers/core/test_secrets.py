"""Keys, tokens and passwords leave any text; what is no secret stays."""

from __future__ import annotations

import pyarrow as pa
import pytest

from foretell.assets.readers.core.secrets import described, is_secret_name, scrub, scrub_column, shown_names

SECRETS = [
    ("use sk-ant-api03-abcdefghijklmnop please", "use [secret] please"),
    ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
    ("Authorization: Bearer abc.def-123", "Authorization: [secret]"),
    ("send bearer abcdef0123456789", "send bearer [secret]"),
    ('{"api_key": "0123456789"}', '{"api_key": "[secret]"}'),
    (r"{\"api_key\": \"0123456789\"}", r"{\"api_key\": \"[secret]\"}"),
    ("postgres://me:hunter2@host/db", "postgres://me:[secret]@host/db"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[secret]"),
]
PLAIN = [
    "basic understanding of tokens",
    "The password of the day?",
    "task-force",
    "a secret: none",
    "12:30 http://a.b/c",
    "",
]


@pytest.mark.parametrize(("text", "scrubbed"), SECRETS)
def test_a_secret_is_replaced_and_what_is_around_it_stays(text, scrubbed):
    assert scrub(text) == scrubbed
    assert scrub(scrubbed) == scrubbed


def test_columns_are_scrubbed_like_texts():
    texts = [text for text, _ in SECRETS] + PLAIN + [None]
    expected = [None if text is None else scrub(text) for text in texts]
    assert scrub_column(pa.array(texts, pa.string())).to_pylist() == expected


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_a_secret_is_left_alone(text):
    assert scrub(text) == text


def test_names_of_secrets_are_told_from_counts():
    assert all(map(is_secret_name, ("apiKey", "x-api-key", "Authorization", "default_headers", "hf_token", "password")))
    assert not any(map(is_secret_name, ("max_tokens", "min_tokens", "top_k", "stop", "tools")))


def test_nothing_is_quoted_but_numbers_and_plain_names():
    assert described("of alice") == "a text of 8 characters"
    assert shown_names(["model", "of alice", "sk-proj-abcdefghijklmnop"]) == [
        "model",
        "a key of 8 characters",
        "a key of 24 characters",
    ]
