"""Which settings of a request are kept."""

from __future__ import annotations

import json

from foretell.assets.readers.core.settings import settings_json, settings_of_text


def test_numbers_and_choices_stand_and_content_is_hashed():
    kept = json.loads(
        settings_json(
            {
                "top_k": 40,
                "stop": ["of alice"],
                "text": {"verbosity": "low", "format": {"type": "text"}},
                "response_format": {"type": "json_schema", "json_schema": {"name": "patients"}},
                "tool_choice": "auto",
                "logit_bias": {"50256": -100},
            }
        )
    )
    assert kept["top_k"] == 40
    assert kept["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert (kept["tool_choice"], kept["logit_bias"]) == ("auto", {"50256": -100})
    assert kept["stop"].startswith("sha256:")
    assert kept["response_format"].startswith("sha256:")


def test_what_is_not_on_the_list_tells_requests_apart_and_no_more():
    one, other = (settings_json({"documents": [text]}) for text in ("of alice", "of bob"))
    assert one != other
    assert set(json.loads(one)) == {"others"}
    assert "alice" not in one


def test_of_a_secret_not_even_a_hash_is_kept():
    assert settings_json({"apiKey": "a", "authorization": "b", "extra_headers": {"x": 1}, "client_secret": "c"}) is None
    assert settings_json({"top_k": 1, "api_key": "a"}) == settings_json({"top_k": 1, "api_key": "b"})


def test_settings_of_our_own_tables_come_back_as_they_are():
    once = settings_json({"top_k": 40, "tools": [{"name": "search"}], "documents": ["of alice"], "verbosity": "low"})
    assert settings_of_text(once) == once
    assert settings_of_text("of alice") is None
