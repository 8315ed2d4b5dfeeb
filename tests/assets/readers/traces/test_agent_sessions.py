"""Sessions of Claude Code and Codex: each answer once, whatever is repeated or copied; private texts stay out.

The fixtures are made up after what public readers of these files say of them; no session of anybody is in them.
"""

import json

import pytest

from foretell.assets.lake.landing.deliveries import ingest, load_rejects, load_rows
from foretell.assets.lake.traces.curation import concat, curate
from foretell.assets.readers.core.messages import query_id_of_text
from foretell.assets.readers.reading import detect, read_traces
from tests.assets.trace_lines import flat_price, write_jsonl

COUNTS = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]


def claude(kind, uuid, parent, message, second=0, **more):
    return {
        "parentUuid": parent, "isSidechain": False, "userType": "external", "cwd": "/srv/acme", "sessionId": "s",
        "version": "2.1.205", "gitBranch": "acme-merger", "type": kind, "message": message, "uuid": uuid,
        "timestamp": f"2026-11-20T10:00:{second:02d}.000Z", **more,
    }  # fmt: skip


def asked(uuid, parent, content, **more):
    return claude("user", uuid, parent, {"role": "user", "content": content}, **more)


def tool_result(uuid, parent):
    return asked(uuid, parent, [{"type": "tool_result", "tool_use_id": "t", "content": "the books of Acme"}])


def answered(uuid, parent, answer, output, stop, second=0, **more):
    """A line of an answer: 4 tokens of input beside 1,000 read from the cache and 100 written to it."""
    usage = {
        "input_tokens": 4, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        "output_tokens": output, "service_tier": "standard", "server_tool_use": {"web_search_requests": 0},
    }  # fmt: skip
    message = {
        "model": "claude-opus-4-8", "id": answer, "type": "message", "role": "assistant",
        "content": [{"type": "text", "text": "the merger is off"}], "stop_reason": stop, "usage": usage,
    }  # fmt: skip
    return claude("assistant", uuid, parent, message, second, requestId=f"req-{answer}", **more)


def session():
    """Two turns of three answers: the first over three lines, then one after a tool, then one to "go on"."""
    return [
        {"type": "summary", "summary": "The merger", "leafUuid": "x"},
        {"type": "file-history-snapshot", "messageId": "u0", "snapshot": {}, "isSnapshotUpdate": False},
        asked("u0", None, "Fix the bug"),
        answered("a1", "u0", "m1", 1, None, 1),
        answered("a2", "a1", "m1", 8, None, 2),
        answered("a3", "a2", "m1", 310, "tool_use", 3),
        tool_result("u4", "a3"),
        answered("a5", "u4", "m2", 50, "end_turn", 5),
        asked("u6", "a5", "go on"),
        answered("a7", "u6", "m3", 70, "end_turn", 7),
    ]


def read(tmp_path, *lines, name="a.jsonl"):
    return read_traces(write_jsonl(tmp_path / name, *lines))


def test_an_answer_counts_once_by_its_last_line(tmp_path):
    result = read(tmp_path, *session())
    assert (result.format, result.n_read, len(result.rejects)) == ("claude_code", 3, 0)
    rows = result.rows
    assert rows["request_id"].tolist() == ["m1", "m2", "m3"]
    assert rows["output_tokens"].tolist() == [310, 50, 70]
    assert rows[COUNTS[:3]].to_numpy().tolist() == [[1104, 1000, 100]] * 3
    assert rows["reasoning_tokens"].isna().all(), "Claude Code does not say how much of it is thinking"
    assert rows["finish_reason"].tolist() == ["tool_calls", "stop", "stop"]
    assert rows["started_at"].dt.second.tolist() == [1, 5, 7], "an answer begins with its first line"
    assert set(rows["model"]) == {"claude-opus-4-8"}
    assert set(rows["service_tier"]) == {"standard"}


def test_a_prompt_stands_with_the_answer_to_it_and_the_turn_with_all(tmp_path):
    rows = read(tmp_path, *session()).rows.astype(object)
    assert rows["trace_id"].tolist() == ["m1", "m1", "m3"]
    assert rows["prompt_text"].where(rows["prompt_text"].notna(), None).tolist() == ["Fix the bug", None, "go on"]
    first, after_tool, later = rows["query_id"]
    assert first == query_id_of_text("Fix the bug"), "a prompt that begins a session can be met again"
    assert later not in (query_id_of_text("go on"), first), "what goes before is part of the question"
    assert not isinstance(after_tool, str), "what was asked after a tool is not kept, so nothing repeats it"


def test_private_texts_are_not_read_and_prompts_go_with_the_option(tmp_path):
    path = write_jsonl(tmp_path / "s.jsonl", *session())
    ingest([path], tmp_path / "with")
    ingest([path], tmp_path / "without", with_prompts=False)
    kept, hashed = load_rows(tmp_path / "with"), load_rows(tmp_path / "without")
    for private in ("merger", "books", "acme"):
        assert private not in kept.drop(columns="source_file").to_json().lower()
    assert "Fix the bug" in kept.to_json()
    assert hashed["prompt_text"].isna().all()
    assert hashed["query_id"].tolist() == kept["query_id"].tolist()


def test_what_the_program_writes_in_the_place_of_a_model_is_no_request(tmp_path):
    failed = answered("a1", "u0", "m1", 0, "stop_sequence", isApiErrorMessage=True)
    empty = answered("a2", "a1", "m2", 0, "stop_sequence")
    empty["message"]["model"] = "<synthetic>"
    result = read(tmp_path, asked("u0", None, "Hi"), failed, empty, answered("a3", "a2", "m3", 9, "end_turn"))
    assert result.rows["request_id"].tolist() == ["m3"]
    assert result.rows["prompt_text"].tolist() == ["Hi"], "the answer that came is the answer to the prompt"
    assert result.n_read == 1


def test_an_answer_whose_end_was_never_written_is_a_lower_bound(tmp_path):
    later = answered("a2", "a1", "m2", 90, "end_turn", 1)
    rows = read(tmp_path, asked("u0", None, "Hi"), answered("a1", "u0", "m1", 8, None), later).rows
    traces = curate(rows, price=flat_price).traces
    assert traces[["output_tokens", "is_censored"]].to_numpy().tolist() == [[8, True], [90, False]]


def test_an_answer_that_is_being_written_is_read_when_the_session_has_gone_on(tmp_path):
    begun = [asked("u0", None, "Hi"), answered("a1", "u0", "m1", 8, None), answered("a2", "a1", "m2", 5, None, 1)]
    whole = [*begun, answered("a3", "a2", "m2", 90, "end_turn", 2)]
    first, then = (read(tmp_path, *lines, name=f"{i}.jsonl") for i, lines in enumerate((begun, whole)))
    told = first.rejects[["source_line", "reason"]].to_numpy().tolist()
    assert told == [[3, "the session ends within this answer"]]
    curated = curate(concat([first.rows, then.rows]), price=flat_price)
    assert curated.traces["output_tokens"].tolist() == [8, 90]
    assert (curated.n_duplicates, len(curated.quarantine)) == (1, 0)


def test_a_copy_of_a_session_is_a_duplicate_whatever_its_ids(tmp_path):
    """A fork gives the copied lines its own session, and the lines ids of their own; the answers keep theirs."""
    remapped = {"uuid": "fork-{}", "parentUuid": "fork-{}"}
    copied = [
        {**line, "sessionId": "fork", **{k: v.format(line[k]) for k, v in remapped.items() if line.get(k)}}
        for line in session()
    ]
    more = [asked("n0", "fork-a7", "and now?"), answered("n1", "n0", "m4", 11, "end_turn", 9)]
    raw = [read(tmp_path, *lines, name=f"{i}.jsonl").rows for i, lines in enumerate((session(), [*copied, *more]))]
    curated = curate(concat(raw), price=flat_price)
    assert (len(curated.traces), curated.n_duplicates, len(curated.quarantine)) == (4, 3, 0)
    assert curated.traces["output_tokens"].sum() == 310 + 50 + 70 + 11


def test_a_session_that_has_gone_on_repeats_its_beginning(tmp_path):
    raw = [read(tmp_path, *session()[:n], name=f"{n}.jsonl").rows for n in (8, 10)]
    curated = curate(concat(raw), price=flat_price)
    assert (len(curated.traces), curated.n_duplicates, len(curated.quarantine)) == (3, 2, 0)


@pytest.mark.parametrize("ids", [{"requestId": None}, {"requestId": None, "id": None}, {"id": None}])
def test_answers_without_some_id_are_told_by_another(tmp_path, ids):
    lines = [answered("a1", None, "m1", 8, None), answered("a2", "a1", "m1", 30, "end_turn")]
    for line in lines:
        line["requestId"] = ids.get("requestId", line["requestId"])
        line["message"]["id"] = ids.get("id", "m1")
    result = read(tmp_path, *lines)
    n_requests = 2 if len(ids) == 2 else 1  # without both, every line is one
    assert (result.n_read, result.rows["output_tokens"].max()) == (n_requests, 30)


def test_texts_that_the_program_adds_are_no_prompts(tmp_path):
    lines = [
        asked("c0", None, "<command-name>/model</command-name>"),
        asked("u0", "c0", "Fix the bug"),
        asked("i0", "u0", "Base directory of this skill", isMeta=True),
        answered("a1", "i0", "m1", 9, "end_turn", 1),
        {"type": "system", "subtype": "compact_boundary", "parentUuid": None, "logicalParentUuid": "a1", "uuid": "b"},
        asked("k0", "b", "This session goes on from another", isCompactSummary=True),
        answered("a2", "k0", "m2", 9, "end_turn", 2),
    ]
    rows = read(tmp_path, *lines).rows
    assert rows["prompt_text"].dropna().tolist() == ["Fix the bug"]
    assert rows["query_id"].tolist()[0] == query_id_of_text("Fix the bug")
    assert rows["trace_id"].tolist() == ["m1", "m1"]


def test_a_session_without_an_answer_says_so(tmp_path):
    result = read(tmp_path, {"type": "summary", "summary": "The merger", "leafUuid": "x"})
    assert result.format == "claude_code"
    assert result.rejects["reason"].tolist() == ["the file holds no request to a model"]


def test_a_broken_line_costs_itself_and_quotes_nothing(tmp_path):
    broken = answered("a9", "a7", "m9", -5, "end_turn")
    no_usage = answered("b9", "a9", "m10", 5, "end_turn")
    no_usage["message"]["usage"] = None
    half = json.dumps(session()[-1])[:-40]
    result = read(tmp_path, *session(), broken, no_usage, [1], {**session()[3], "parentUuid": {"a": 1}}, half)
    assert result.rows["request_id"].tolist() == ["m1", "m2", "m3"]
    assert sorted(result.rejects["source_line"]) == [11, 12, 13, 14, 15]
    assert not result.rejects["reason"].str.contains("merger|acme|Fix").any()


def test_a_folder_of_sessions_lands_by_its_content(tmp_path, monkeypatch):
    folder = tmp_path / "projects" / "-home-ada-acme" / "s" / "subagents"
    folder.mkdir(parents=True)
    write_jsonl(folder.parents[1] / "s.jsonl", *session())
    write_jsonl(folder / "agent-1.jsonl", asked("u", None, "Look"), answered("a", "u", "m7", 5, "end_turn"))
    (folder / "agent-1.meta.json").write_text('{"agentType": "Explore"}')
    report = ingest([tmp_path / "projects"], tmp_path / "landing")
    assert (report.n_usable, report.n_rejects) == (4, 1)
    assert load_rejects(tmp_path / "landing")["source_file"].str.endswith("agent-1.meta.json").all()
    monkeypatch.setenv("HOME", str(tmp_path))
    quoted = ingest(["~/projects/**/*.jsonl"], tmp_path / "other")  # which the shell leaves as it is
    assert (quoted.n_usable, quoted.n_rejects) == (4, 0)


# -- Codex --------------------------------------------------------------------------------------------
def codex(kind, payload, at="2026-11-20T10:00:00.000Z"):
    return {"timestamp": at, "type": kind, "payload": payload}


def counted(total, last, at="2026-11-20T10:00:09.000Z"):
    def usage(n):
        return {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": n, "reasoning_output_tokens": n // 2,
                "total_tokens": 100 + n}  # fmt: skip

    info = {"total_token_usage": usage(total), "last_token_usage": usage(last), "model_context_window": 272000}
    return codex("event_msg", {"type": "token_count", "info": info, "rate_limits": {}}, at)


def rollout(**meta):
    return [
        codex("session_meta", {"id": "r1", "cwd": "/srv/acme", "cli_version": "0.145.0", **meta}),
        codex("turn_context", {"model": "gpt-5.5", "effort": "high", "cwd": "/srv/acme"}),
        codex("response_item", {"type": "message", "role": "user", "content": [{"text": "the books of Acme"}]}),
        codex("event_msg", {"type": "user_message", "message": "Fix the bug"}),
        codex("event_msg", {"type": "token_count", "info": None, "rate_limits": {}}),
    ]


def test_codex_counts_what_is_new_since_the_last_count(tmp_path):
    again = counted(20, 20, "2026-11-20T10:01:00.000Z")
    result = read(tmp_path, *rollout(), counted(20, 20), again, counted(50, 30, "2026-11-20T10:02:00.000Z"))
    assert (result.format, result.n_read, len(result.rejects)) == ("codex", 2, 0)
    rows = result.rows
    assert rows[COUNTS].fillna(-1).to_numpy().tolist() == [[100, 60, -1, 20, 10], [100, 60, -1, 30, 15]]
    assert rows["request_id"].tolist() == ["r1/1", "r1/2"]
    assert rows["trace_id"].tolist() == ["r1/1", "r1/1"]
    assert rows["prompt_text"].fillna("").tolist() == ["Fix the bug", ""]
    assert rows["query_id"].iloc[0] == query_id_of_text("Fix the bug")
    assert set(rows["model"]) == {"gpt-5.5"}
    assert set(rows["reasoning_effort"]) == {"high"}
    assert "acme" not in rows.drop(columns="source_file").to_json().lower()


def test_codex_takes_the_model_of_the_turn(tmp_path):
    other = codex("turn_context", {"model": "gpt-5.5-mini"})
    go_on = codex("event_msg", {"type": "user_message", "message": "go on"})
    rows = read(tmp_path, *rollout(), counted(20, 20), other, go_on, counted(50, 30)).rows
    assert rows["model"].tolist() == ["gpt-5.5", "gpt-5.5-mini"]
    assert rows["trace_id"].tolist() == ["r1/1", "r1/2"]
    assert rows["query_id"].iloc[1] != query_id_of_text("go on")


@pytest.mark.parametrize("meta", [{"forked_from_id": "r0"}, {"source": {"subagent": {"thread_spawn": {}}}}])
def test_what_a_fork_of_codex_replays_is_left_out(tmp_path, meta):
    """The history of the other session is written anew within milliseconds, under the time of the fork."""
    replayed = [counted(20 * i, 20, f"2026-11-20T10:00:00.{i}00Z") for i in range(1, 9)]
    parent = codex("session_meta", {"id": "r0"})
    own = codex("event_msg", {"type": "user_message", "message": "go on"})
    lines = [*rollout(**meta), parent, *replayed, own, counted(190, 30, "2026-11-20T10:00:12.000Z")]
    rows = read(tmp_path, *lines).rows
    assert rows[["request_id", "output_tokens"]].to_numpy().tolist() == [["r1/1", 30]]
    assert rows["prompt_text"].tolist() == ["go on"]
    assert rows["query_id"].iloc[0] != query_id_of_text("go on"), "a fork has a history"
    later = [counted(20 * i, 20, f"2026-11-20T10:00:0{i}.500Z") for i in range(1, 9)]
    assert len(read(tmp_path, *rollout(), *later, name="b.jsonl").rows) == 8, "answers that come one after the other"


def test_a_codex_count_that_cannot_be_is_a_reject(tmp_path):
    wrong = counted(20, 20)
    wrong["payload"]["info"]["last_token_usage"]["output_tokens"] = "many"
    result = read(tmp_path, *rollout(), wrong, counted(50, 30))
    assert result.rows["output_tokens"].tolist() == [30]
    assert result.rejects["source_line"].tolist() == [6]


def test_sessions_are_told_from_the_logs_of_other_tools(tmp_path):
    quoting = {"role": "user", "content": json.dumps(session()[2])}
    line = {"request": {"model": "m", "messages": [quoting]}, "response": {"usage": {"output_tokens": 5}, "model": "m"}}
    assert detect(write_jsonl(tmp_path / "calls.jsonl", line)) == "openai_jsonl"
