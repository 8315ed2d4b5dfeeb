"""Requests of a folder of prompts and of a promptfoo configuration, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.assets.lake.requests import models_named, read_requests
from foretell.predictors.errors import InvalidInputError

CONFIG = """
description: two prompts, four tests
prompts:
  - 'Translate {{ text }} to {{ language }}.'
  - file://prompts/*.txt
  - label: chat
    raw: '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ text | upper }}"}]'
providers:
  - id: openai:chat:gpt-5-mini
    config: {max_tokens: 500, temperature: 0.2}
  - anthropic:messages:claude-sonnet-4-5: {config: {max_tokens: 500}}
  - openrouter:openai/gpt-4o
  - file://own_provider.py
defaultTest: {vars: {language: French}}
evaluateOptions: {repeat: 2}
tests:
  - vars: {text: hello, language: [French, German]}
  - vars: {text: 'file://long.txt'}
  - file://tests.csv
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.txt").write_text("Sum up {{text}}.\n---\nRepeat {{text}}.", "utf-8")
    (tmp_path / "long.txt").write_text("a long text", "utf-8")
    (tmp_path / "tests.csv").write_text("text,__expected\ngoodbye,x\n", "utf-8")
    (tmp_path / "promptfooconfig.yaml").write_text(CONFIG, "utf-8")
    return tmp_path


def test_a_configuration_gives_its_prompts_times_its_tests_and_names_its_models(project: Path) -> None:
    file = project / "promptfooconfig.yaml"
    requests, problems = read_requests(file)
    assert problems == []
    assert len(requests) == 4 * 4 * 2  # prompts, tests (one of them twice, by its list), repeats
    texts = requests["prompt_text"].tolist()
    assert texts.count("Translate hello to German.") == 2
    assert texts.count("Sum up a long text.") == 2
    assert any("Be brief." in text and "GOODBYE" in text and "role" not in text for text in texts)
    assert requests["custom_id"].is_unique
    assert models_named(file) == ["gpt-5-mini", "claude-sonnet-4-5", "openai/gpt-4o"]


def test_settings_that_all_providers_share_are_read(project: Path) -> None:
    file = project / "promptfooconfig.yaml"
    provider = "  - id: openai:gpt-5\n    config: {max_tokens: 500, temperature: 1}\n"
    file.write_text(f"prompts: [hi]\nproviders:\n{provider}{provider.replace('temperature: 1', 'top_p: 1')}", "utf-8")
    (row,) = read_requests(file)[0].to_dict("records")
    assert (row["max_tokens"], row["prompt_text"]) == (500.0, "hi")
    assert "temperature" not in row


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prompts: [a", "no YAML, line 1: .*; correct it"),
        ("providers: [openai:gpt-5]", "has no `prompts`"),
        ("[1, 2]", "has no `prompts`"),
        ("prompts: [file://../secret.txt]", r"no such file below .*"),
        ("prompts: [file:///etc/hostname]", r"no such file below .*"),
        ("prompts: ['{% bad']", "prompt 1 with test 1: .*correct it"),
        ("prompts: [1]", "a prompt is neither text nor a file"),
        (f"prompts: [x]\ntests: [{{vars: {{a: {list(range(400))}, b: {list(range(400))}}}}}]", "more than 100,000"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "secret.txt").write_text("secret", "utf-8")
    (tmp_path / "project").mkdir()
    file = tmp_path / "project" / "promptfooconfig.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(InvalidInputError, match=f"promptfooconfig.yaml: .*{told}"):
        read_requests(file)


NESTED = """
prompts: ['{{ user.name }} asks: {{ question }} {{ user.tags | join("/") }} {{ facts | dump }}']
providers: [openai:gpt-5]
defaultTest: {vars: {facts: [1, {a: b}]}, options: {disableVarExpansion: true}}
tests:
  - vars: {user: {name: Ann, tags: [x, y]}, question: 'what of {{ topic }}?', topic: '{{ fruit }}s', fruit: banana}
"""


def test_variables_have_parts_and_name_other_variables(tmp_path: Path) -> None:
    file = tmp_path / "promptfooconfig.yaml"
    file.write_text(NESTED, "utf-8")
    (request,), problems = read_requests(file)[0].to_dict("records"), read_requests(file)[1]
    assert (request["prompt_text"], problems) == ('Ann asks: what of bananas? x/y [1, {"a": "b"}]', [])
    file.write_text(NESTED.replace("fruit: banana", "fruit: '{{ topic }}{{ fruit }}'"), "utf-8")
    assert len(read_requests(file)[0]) == 1  # they name each other, which ends
    file.write_text("prompts: ['{{ a }}']\ntests: [{vars: {a: '%s'}}]" % ("{{ a }}" * 2000), "utf-8")
    with pytest.raises(InvalidInputError, match=r"comes to more than 10,000,000 characters; correct it"):
        read_requests(file)


def test_files_of_variables_are_read_one_test_for_each_file_of_a_pattern(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"text {name}\n", "utf-8")
    (tmp_path / "user.yaml").write_text("name: Ann", "utf-8")
    (tmp_path / "vars.yaml").write_text("who: file://user.yaml\ntext: file://*.txt", "utf-8")
    file = tmp_path / "promptfooconfig.yaml"
    file.write_text("prompts: ['{{ who }} {{ text }}']\ntests: [{vars: vars.yaml}, {vars: file://none.yaml}]", "utf-8")
    requests, problems = read_requests(file)
    assert requests["prompt_text"].str.strip().tolist()[:2] == ['{"name": "Ann"} text a', '{"name": "Ann"} text b']
    assert [line for line in problems if "none.yaml" in line]
    (tmp_path / "vars.yaml").write_text("who: [", "utf-8")
    assert any("vars.yaml: no YAML, line 1: expected" in line for line in read_requests(file)[1])


def test_a_folder_is_a_prompt_a_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.md").write_text("Second", "utf-8")
    (tmp_path / "one.txt").write_text("First\n", "utf-8")
    (tmp_path / "empty.txt").write_text(" ", "utf-8")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    requests, problems = read_requests(tmp_path)
    assert requests[["custom_id", "prompt_text"]].to_numpy().tolist() == [["b/two.md", "Second"], ["one.txt", "First"]]
    assert len(problems) == 1
    assert "empty.txt: is empty" in problems[0]
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidInputError, match="holds no prompt: files that end in"):
        read_requests(tmp_path / "none")
