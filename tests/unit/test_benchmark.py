import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from scripted_chat import ScriptedChat

from aloe.benchmark import converse, entrants, load_cases, run_benchmark
from aloe.chat import AskError
from aloe.errors import UserError
from aloe.judging import judge, judge_names, parse_score, score, score_frame
from aloe.params import EndpointPolicy, load_params
from aloe.policies import ChatPolicy, Entrant, told_system
from aloe.records import Judgement, Message, Persona, Transcript, read_jsonl
from aloe.runs import Run
from aloe.strategies import STEPS

ANA = Persona("bench-p01-t1", "bench-p01", "bench-t1", "Ana keeps bees.", "Blunt.")
BEN = Persona("bench-p02-t1", "bench-p02", "bench-t1", "Ben sails.", "Blunt.")


class Echo:
    """A policy that repeats the last user message in capitals and notes what it was shown."""

    def __init__(self):
        self.batches = []

    def reply(self, conversations):
        self.batches.append([list(conversation) for conversation in conversations])
        return [f" {conversation[-1].content.upper()} " for conversation in conversations]


def user(messages) -> str:
    prompt = messages[0].content
    name = "Ana" if "Ana keeps bees." in prompt else "Ben"
    return f"{name} says {prompt.count('<user>') + 1} "


def entrant(policy, name="echo", fingerprint="1", system=None) -> Entrant:
    return Entrant(name, fingerprint, lambda: policy, system)


@pytest.fixture
def run(tmp_path) -> Run:
    params = load_params("smoke")
    small = dataclasses.replace(params.benchmark, n_profiles=2, n_personalities=1, n_turns=2)
    return Run("smoke", dataclasses.replace(params, benchmark=small), tmp_path)


def test_all_dialogues_advance_together_and_each_keeps_its_own_thread():
    policy, chat = Echo(), ScriptedChat({"user": user}, backwards=True)
    transcripts = converse(chat, entrant(policy), policy, [ANA, BEN], n_turns=2)
    assert [t.id for t in transcripts] == ["echo-bench-p01-t1", "echo-bench-p02-t1"]
    assert transcripts[1].messages == (
        Message("user", "Ben says 1"), Message("assistant", "BEN SAYS 1"),
        Message("user", "Ben says 2"), Message("assistant", "BEN SAYS 2"),
    )  # fmt: skip
    assert [len(batch) for batch in policy.batches] == [2, 2]
    assert [m.content for m in policy.batches[1][0]] == ["Ana says 1", "ANA SAYS 1", "Ana says 2"]


def test_only_a_told_policy_sees_the_persona():
    told, untold = Echo(), Echo()
    chat = ScriptedChat({"user": user})
    (transcript,) = converse(chat, entrant(told, system=told_system), told, [ANA], 2)
    converse(chat, entrant(untold), untold, [ANA], 2)
    assert told.batches[1][0][0] == Message("system", told_system(ANA))
    assert "Ana keeps bees." in told_system(ANA)
    assert [m.role for m in untold.batches[1][0]] == ["user", "assistant", "user"]
    assert [m.role for m in transcript.messages] == ["user", "assistant"] * 2


def test_a_user_who_cannot_speak_ends_the_stage_instead_of_shortening_a_dialogue():
    def broken(messages):
        raise AskError("no reply")

    with pytest.raises(AskError):
        converse(ScriptedChat({"user": broken}), entrant(Echo()), Echo(), [ANA], 2)


def test_a_model_behind_an_endpoint_is_a_policy():
    chat = ScriptedChat({"plain_responder": lambda messages: f"{messages[0].role} {messages[-1].content} "})
    asked = [[Message("user", "one")], [Message("system", "who"), Message("user", "two")]]
    assert ChatPolicy(chat).reply(asked) == ["system one", "system two"]
    assert chat.asked[1].messages[0].content == "who"
    assert "chatting with a user" in chat.asked[0].messages[0].content


def test_a_finished_policy_is_read_back_and_not_opened_again(run):
    def never():
        raise AssertionError("opened again")

    chat = ScriptedChat({"user": lambda messages: "Hello."})
    first, broken = entrant(Echo(), "first"), Entrant("second", "1", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_benchmark(chat, run, [first, broken])
    assert not run.transcripts.exists()
    transcripts = run_benchmark(chat, run, [first._replace(open=never), entrant(Echo(), "second")])
    assert [t.policy for t in transcripts] == ["first", "first", "second", "second"]
    assert transcripts == read_jsonl(Transcript, run.transcripts)


def test_other_weights_or_parameters_mean_new_dialogues(run):
    chat, opened = ScriptedChat({"user": lambda messages: "Hello."}), []

    def benchmark(run, **changes):
        policy = Echo()
        run_benchmark(chat, run, [Entrant("echo", "1", lambda: opened.append(1) or policy)._replace(**changes)])
        return len(opened)

    assert benchmark(run) == 1
    assert benchmark(run) == 1
    assert benchmark(run, fingerprint="2") == 2
    assert benchmark(run, fingerprint="2", system=told_system) == 3
    other = dataclasses.replace(run.params.benchmark, confidence=0.8)
    assert benchmark(dataclasses.replace(run, params=dataclasses.replace(run.params, benchmark=other)),
                     fingerprint="2", system=told_system) == 3  # fmt: skip
    longer = dataclasses.replace(run.params.benchmark, n_turns=3)
    assert benchmark(dataclasses.replace(run, params=dataclasses.replace(run.params, benchmark=longer)),
                     fingerprint="2", system=told_system) == 4  # fmt: skip
    assert len(list(run.transcripts.parent.glob("done/echo/*"))) == 1


def test_told_is_the_base_model_with_a_system_message(run):
    for name in ("base", "sft_rejected", "sft_preferred", "dpo"):
        run.model(name).mkdir(parents=True)
        (run.model(name) / "weights").write_text(name)
    base, told, rejected, *_ = entrants(run, load=lambda folder: folder.name)
    assert [e.name for e in entrants(run, load=str)] == list(run.params.benchmark.policies)
    assert (base.open(), told.open(), rejected.open()) == ("base", "base", "sft_rejected")
    assert base.fingerprint == told.fingerprint != rejected.fingerprint
    assert base.system is None
    assert told.system(ANA) == told_system(ANA)
    (run.model("dpo") / "weights").unlink()
    run.model("dpo").rmdir()
    with pytest.raises(UserError, match="dpo does not exist"):
        entrants(run, load=str)


def with_endpoint_policy(run, **changes):
    role = EndpointPolicy(**(dataclasses.asdict(run.params.roles.plain_responder) | changes))
    small = dataclasses.replace(run.params.benchmark, policies=("rival",), endpoint_policies={"rival": role})
    return dataclasses.replace(run, params=dataclasses.replace(run.params, benchmark=small))


def test_a_model_behind_an_endpoint_takes_part_under_its_own_name(run):
    run = with_endpoint_policy(run)
    chat = ScriptedChat({"user": user, "rival": lambda messages: f" {messages[-1].content.upper()} "})
    (rival,) = entrants(run, load=None)
    held = run_benchmark(chat, run, [rival])
    assert [t.id for t in held] == ["rival-bench-p01-t1", "rival-bench-p02-t1"]
    assert held[0].messages[1].content.endswith("SAYS 1")
    assert "chatting with a user" in next(asked for asked in chat.asked if asked.role == "rival").messages[0].content
    with pytest.raises(UserError, match="'rival' stands behind an endpoint"):
        rival.open()


def test_another_model_or_sampling_means_new_dialogues_of_an_endpoint_policy(run):
    def fingerprint(**changes):
        return entrants(with_endpoint_policy(run, **changes), load=None)[0].fingerprint

    assert fingerprint() == fingerprint(family="simulated")
    assert len({fingerprint(), fingerprint(model="other"), fingerprint(temperature=0.1)}) == 3
    assert len({fingerprint(strategy=name) for name in STEPS}) == len(STEPS)
    assert fingerprint() == fingerprint(strategy="plain")


def transcript(persona=ANA, policy="echo") -> Transcript:
    contents = [("user", "one"), ("assistant", "first reply"), ("user", "two"), ("assistant", "second reply")]
    return Transcript(f"{policy}-{persona.id}", policy, persona, tuple(Message(r, c) for r, c in contents))


def test_each_reply_is_judged_by_each_judge_with_the_conversation_up_to_it(run):
    chat = ScriptedChat({"alignment_judge": lambda m: "Score: 5" if "second reply" in m[0].content else "Score: 2"})
    role = run.params.roles.alignment_judge[0]
    judges = [dataclasses.replace(role, model="a"), dataclasses.replace(role, model="b")]
    rows = judge(chat, [transcript(), transcript(BEN)], judges)
    assert [(r.case, r.turn, r.judge, r.level) for r in rows[:4]] == [
        (ANA.id, 1, "a", 2), (ANA.id, 1, "b", 2), (ANA.id, 2, "a", 5), (ANA.id, 2, "b", 5),
    ]  # fmt: skip
    assert len(rows) == 8
    assert [asked.judge for asked in chat.asked[:2]] == [0, 1]
    prompt = chat.asked[0].messages[0].content
    assert "Ana keeps bees." in prompt
    assert "first reply" in prompt
    assert "two" not in prompt
    assert "echo" not in prompt


def test_what_does_not_parse_after_one_repair_has_no_level(run):
    chat = ScriptedChat({"alignment_judge": ["Five!", "5", "Good.", "Score: 3"]})
    rows = judge(chat, [transcript()], run.params.roles.alignment_judge[:1])
    # Both turns are asked side by side: "Five!" and "Good." would come apart in another order, the second asks repair.
    assert sorted((row.level for row in rows), key=str) == [3, None]
    assert chat.count("alignment_judge") == 4


def test_a_reply_that_a_judge_cannot_be_asked_about_has_no_level_and_the_others_go_on(run, caplog):
    def judging(messages):
        if "second reply" in messages[0].content:
            raise AskError("a content filter stopped it")
        return "Score: 4"

    rows = judge(ScriptedChat({"alignment_judge": judging}), [transcript()], run.params.roles.alignment_judge[:1])
    assert [row.level for row in rows] == [4, None]
    assert f"echo-{ANA.id}, turn 2, has no level: a content filter stopped it" in caplog.text


def test_scores_are_written_and_need_no_dialogue(run):
    chat = ScriptedChat({"alignment_judge": "Score: 4"})
    frame = score(chat, run, [transcript()])
    assert frame["level"].tolist() == [4, 4]
    pd.testing.assert_frame_equal(pd.read_parquet(run.scores), frame)
    before = run.scores.read_bytes()
    score(chat, run, [transcript()])
    assert run.scores.read_bytes() == before
    assert {asked.role for asked in chat.asked} == {"alignment_judge"}


def test_a_frame_has_the_fields_of_a_judgement_and_keeps_missing_levels():
    row = Judgement("base", "bench-p01-t1", "bench-p01", "bench-t1", 1, "m", None)
    frame = score_frame([row, dataclasses.replace(row, turn=2, level=3)])
    assert list(frame.columns) == [field.name for field in dataclasses.fields(Judgement)]
    assert frame["level"].isna().tolist() == [True, False]
    assert str(frame["level"].dtype) == "Int64"
    assert score_frame([]).empty


def test_judges_of_one_model_have_names_of_their_own(run):
    role = run.params.roles.alignment_judge[0]
    named = [dataclasses.replace(role, model=model) for model in ("a", "b", "a")]
    assert judge_names(named) == ["a", "b", "a#2"]


@pytest.mark.parametrize(
    "text, level",
    [("Score: 1", 1), ("Score: 5\n", 5), ("Score: 0", None), ("Score: 6", None), ("Score: 4/5", None),
     ("score: 4", None), ("4", None), ("", None)],
)  # fmt: skip
def test_a_score_is_read_only_if_it_is_exactly_of_the_form(text, level):
    assert parse_score(text) == level


def test_the_shipped_benchmark_has_a_hundred_cases():
    loaded = load_cases(Run("sandbox", load_params("sandbox"), Path("unused")))
    assert len(loaded) == len({case.id for case in loaded}) == 100
