"""Further judges: scales, the sample, what is asked and what is not, and what is planted is found."""

import dataclasses
import json

import pandas as pd
import pytest
from sandbox_talk import CLEAN, ask
from scripted_chat import ScriptedChat

from aloe import benchmark, further_judges
from aloe.chat import open_chat
from aloe.errors import UserError
from aloe.further_judges import COLUMNS, judge_further, sampled, score_further, unreadable
from aloe.judge_findings import doubles, findings, known_families
from aloe.judging import SCORE_FORM, parse_score, score
from aloe.params import FurtherJudge, load_params
from aloe.plan import make_plan
from aloe.policies import Entrant
from aloe.prompts import conversation
from aloe.records import Message, Persona, Transcript
from aloe.runs import open_run
from aloe.sandbox import judge as simulated
from aloe.scales import SCALES, TRUTH
from aloe.stages import STAGES, inputs, recipe

HABIT = "So much for that."
JUDGE = FurtherJudge("simulated", "simulated", 0.0, 16)
PETS = ["bees", "goats", "owls", "hens", "trout", "ponies"]
ANSWER = "Manner: 4\nContent: 2\nHuman: 5\nEngaging: 1\nConcise: 3"


def people(n_profiles=6, n_personalities=2):
    return [
        Persona(f"bench-p{i}-t{j}", f"bench-p{i}", f"bench-t{j}", f"Ana is a baker. She keeps {PETS[i]}.", trait)
        for i in range(n_profiles)
        for j, trait in enumerate(["Blunt, saying what she thinks.", "Warm, kind to everybody."][:n_personalities])
    ]


def held(policy, reply, n_turns=2, who=None):
    """One dialogue per person; `reply` makes a reply of a persona and a turn."""
    return [
        Transcript(f"{policy}-{p.id}", policy, p, tuple(
            message for turn in range(1, n_turns + 1)
            for message in (Message("user", f"My {p.profile.split()[-1][:-1]} got out again, {turn} times."),
                            Message("assistant", reply(p, turn)))
        ))
        for p in who or people()
    ]  # fmt: skip


def test_the_scale_of_levels_is_that_of_the_primary_judges():
    levels = SCALES["levels"]
    assert levels.form == SCORE_FORM
    for text in ("Score: 4", " Score: 1\n", "Score: 6", "Score: 45", "4", "Score: 4. Good."):
        found = levels.parse(text)
        assert (found and found["level"]) == parse_score(text)


@pytest.mark.parametrize("text", ["Suits: 2", "Suits: yes", "suits: 1", "Suits: 1\nSuits: 0", "", "1"])
def test_what_is_neither_yes_nor_no_is_no_verdict(text):
    assert SCALES["strict"].parse(text) is None
    assert SCALES["strict"].parse(" Suits: 0\n") == {"suits": 0}


@pytest.mark.parametrize(
    "text",
    [
        ANSWER.replace("Human: 5", "Human: 6"), ANSWER.replace("Human: 5\n", ""), ANSWER.replace("\n", " "),
        "\n".join(reversed(ANSWER.split("\n"))), ANSWER + "\nOverall: 3", "Score: 3",
    ],
    ids=["above the scale", "one missing", "one line", "another order", "one too many", "another scale"],
)  # fmt: skip
def test_five_criteria_are_read_whole_or_not_at_all(text):
    assert SCALES["criteria"].parse(text) is None
    read = {"manner": 4, "content": 2, "human": 5, "engaging": 1, "concise": 3}
    assert SCALES["criteria"].parse(ANSWER) == SCALES["criteria"].parse(ANSWER.replace("\n", "  \n\n") + "\n") == read


def test_a_smaller_share_is_part_of_a_larger_one_and_goes_round_the_profiles():
    transcripts = [*held("a", lambda p, k: "Yes."), *held("b", lambda p, k: "No.")]
    # 12 people x 2 turns = 24 places, of 6 profiles with 4 each
    draws = [sampled(transcripts, share, 3) for share in (0.01, 0.25, 0.5, 1.0)]
    assert [len(draw) for draw in draws] == [1, 6, 12, 24]
    assert draws[0] < draws[1] < draws[2] < draws[3]
    assert len({case.rsplit("-", 1)[0] for case, _ in draws[1]}) == 6
    assert sampled(transcripts, 0.25, 3) == draws[1] != sampled(transcripts, 0.25, 4)


def test_every_judge_is_asked_on_its_scale_as_often_as_it_says_and_sees_nothing_but_the_dialogue_so_far():
    chat = ScriptedChat({
        "judges.strict": lambda m: "Suits: 1" if "first reply" in m[0].content.split("</conversation>")[1] else "no",
        "judges.twice": "Score: 2",
    })  # fmt: skip
    judges = {"strict": dataclasses.replace(JUDGE, scale="strict"), "twice": dataclasses.replace(JUDGE, repeat=2)}
    [transcript] = held("p", lambda p, k: ["The first reply.", "The second."][k - 1], who=people(1, 1))
    rows = judge_further(chat, [transcript], judges, 0)
    assert list(rows.columns) == list(COLUMNS)
    said = [tuple(row) for row in rows[["judge", "turn", "run", "score", "value"]].astype(object).to_numpy()]
    assert [row[:4] for row in said] == [
        ("strict", 1, 1, "suits"), ("strict", 2, 1, "suits"),
        ("twice", 1, 1, "level"), ("twice", 1, 2, "level"), ("twice", 2, 1, "level"), ("twice", 2, 2, "level"),
    ]  # fmt: skip
    assert [row[4] for row in said][:1] == [1]
    assert said[1][4] is pd.NA
    # of strict the second answer and its repair did not parse; the times asked differ by what makes a draw another one
    assert unreadable(rows) == {"strict": (1, 2), "twice": (0, 4)}
    assert chat.unparseable == {"judges.strict": 1}
    assert [asked.repeat for asked in chat.asked if asked.role == "judges.twice"] == [0, 1, 0, 1]
    first = next(asked for asked in chat.asked if asked.role == "judges.strict").messages[0].content
    assert "The second." not in first
    assert "policy" not in first


def test_without_further_judges_nobody_is_asked_and_an_old_file_goes(tmp_path):
    run = open_run("sandbox", None, tmp_path)
    run.further_verdicts.parent.mkdir(parents=True)
    run.further_verdicts.write_bytes(b"old")
    assert len(score_further(ScriptedChat({}), run, held("p", lambda p, k: "Yes."))) == 0
    assert not run.further_verdicts.exists()


PRESET = """
extends: smoke
endpoints:
  cousin:
    base_url: "sandbox:"
    api_key_env: null
    max_in_flight: 16
    timeout_s: 60.0
    max_retries: 2
    planted: {judge_error: 0.0, habit: So much for that., favour: FAVOUR}
sandbox: {judge_error: 0.0}
benchmark:
  policies: [base, talker, cousin]
  endpoint_policies:
    talker: {endpoint: simulated, model: simulated, temperature: 0.8, max_tokens: 64}
    cousin: {endpoint: cousin, model: simulated, temperature: 0.8, max_tokens: 64, family: cousin}
  judges:
    strict: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 16, scale: strict, share: 1.0}
    kin: {endpoint: cousin, model: simulated, temperature: 0.0, max_tokens: 16, repeat: 2, family: cousin}
"""


def mine(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    return open_run(str(tmp_path / "mine.yaml"), outputs=tmp_path / "outputs")


def judged(run, transcripts):
    """Primary scores, further verdicts, and what is found of them."""
    with open_chat(run) as chat:
        scores, verdicts = score(chat, run, transcripts), score_further(chat, run, transcripts)
    return scores, verdicts, findings(scores, verdicts, known_families(run.params), 0.95, doubles(run.params))


def test_a_planted_favour_for_ones_own_family_is_seen_and_the_judge_without_one_is_cleared(tmp_path):
    run = mine(tmp_path, PRESET.replace("FAVOUR", "0.5"))

    def reply(person, turn):
        return f"Put a latch on the door of the {person.profile.split()[-1][:-1]}, and count them {turn} times."

    transcripts = [*held("base", reply), *held("talker", lambda p, k: f"Oh? {reply(p, k)}"),
                   *held("cousin", lambda p, k: f"{reply(p, k)} {HABIT}")]  # fmt: skip
    scores, verdicts, found = judged(run, transcripts)
    assert known_families(run.params).judges == {"simulated": "simulated", "strict": "simulated", "kin": "cousin"}
    assert known_families(run.params).policies == {"talker": "simulated", "cousin": "cousin"}
    favour = found[(found["question"] == "own family") & (found["score"] == "level")].set_index("one")
    # 24 replies of its own, a level more in half of them: standard error 0.1
    assert favour.loc["kin", "value"] == pytest.approx(0.5, abs=0.3)
    assert favour.loc["kin", "low"] > 0
    # without errors and favours, levels of talker's and base's replies are the same for both judges
    assert favour.loc["simulated", "value"] == pytest.approx(0, abs=1e-9)
    # the primary judge errs nowhere; kin's levels are too high where it favours, and there only
    wrong = found[(found["question"] == "truth") & (found["measure"] == "error")].set_index("one")["value"]
    extra = verdicts[(verdicts["judge"] == "kin") & (verdicts["run"] == 1)].merge(
        scores[["policy", "case", "turn", "level"]], on=["policy", "case", "turn"]
    )
    gap = (extra["value"] - extra["level"]).astype(int)
    assert (wrong["simulated"], wrong["strict"]) == (0, 0)
    assert wrong["kin"] == pytest.approx((gap > 0).mean())
    assert set(extra.loc[gap > 0, "policy"]) == {"cousin"}
    # asked again, it draws again: of 24 own replies some change, no other does
    again = found[(found["question"] == "again") & (found["measure"] == "exact")]
    assert again["one"].tolist() == ["kin"]
    assert 48 / 72 <= again["value"].iloc[0] < 1


def test_adding_and_changing_a_judge_holds_no_dialogue(tmp_path, monkeypatch):
    small = "benchmark: {n_profiles: 2, n_personalities: 1, n_turns: 2, policies: [echo], "
    who = "{echo: {endpoint: simulated, model: simulated, temperature: 0.8, max_tokens: 64}}"
    strict = "{endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 16, scale: strict, share: 1.0}"
    plain, added, changed = (
        f"extends: smoke\n{small}endpoint_policies: {who}, judges: {judges}}}\n"
        for judges in (
            "null",
            f"{{strict: {strict}}}",
            f"{{strict: {strict.replace('scale: strict', 'scale: levels')}}}",
        )
    )
    monkeypatch.setattr(further_judges, "true_verdicts", lambda run, transcripts: further_judges._frame([], []))
    asked = []
    for text in (plain, added, changed):
        run = mine(tmp_path, text)
        entrant = Entrant("echo", benchmark._asked_as(run, run.params.benchmark.endpoint_policies["echo"]),
                          lambda: None, asked=True)  # fmt: skip
        with open_chat(run) as chat:
            before = chat.usage.calls
            transcripts = benchmark.run_benchmark(chat, run, [entrant])
            held_calls = chat.usage.calls + chat.usage.cached_calls - before
            score_further(chat, run, transcripts)
            asked.append((held_calls, chat.usage.calls + chat.usage.cached_calls - held_calls))
    # 2 people x 2 turns: 4 user messages and 4 replies, once; then 4 verdicts by each further judge
    assert asked == [(8, 0), (0, 4), (0, 4)]


def test_the_benchmark_is_run_again_where_a_judge_changes_and_no_stage_before_it(tmp_path):
    runs = [mine(tmp_path, PRESET.replace("FAVOUR", favour)) for favour in ("0.5", "0.25")]
    for stage in STAGES:
        one, other = (recipe(stage, run) for run in runs)
        changed = {key for key in one if one[key] != other[key]}
        assert changed == ({"params benchmark.judges"} if stage.name == "06_aloe_benchmark" else set())
    last = inputs(STAGES[-1], runs[0])
    assert runs[0].further_verdicts in last
    assert runs[0].further_verdicts not in inputs(STAGES[-1], open_run("sandbox", None, tmp_path))
    names = {path.stem for path in inputs(STAGES[5], runs[0])}
    assert "strict_judge" in names
    assert "criteria_judge" not in names


def test_the_plan_counts_further_judges_but_not_what_the_primary_was_asked_already():
    params = load_params("smoke")
    judges = {
        "strict": dataclasses.replace(JUDGE, scale="strict", share=0.5, repeat=3),
        "again": dataclasses.replace(JUDGE, repeat=3),
        "warm": dataclasses.replace(JUDGE, temperature=0.9),
    }
    bench = dataclasses.replace(params.benchmark, n_profiles=2, n_personalities=3, n_turns=5, policies=("base", "dpo"),
                                judges=judges)  # fmt: skip
    params = dataclasses.replace(params, benchmark=bench)
    calls = {role.role: role.calls for role in make_plan(params).roles}
    # 2 policies x 6 cases x 5 turns = 60 replies: half of them 3 times; all 3 times, of which one is known; all once
    assert (calls["judges.strict"], calls["judges.again"], calls["judges.warm"]) == (90, 120, 60)
    assert doubles(params) == ["again"]


@pytest.mark.parametrize(
    ("judges", "said"),
    [
        ("{strict: {endpoint: nowhere, model: m, temperature: 0.0, max_tokens: 9}}",
         "`benchmark.judges.strict.endpoint` is 'nowhere'"),
        ("{simulated: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 9}}",
         "`benchmark.judges.simulated`: take another name"),
        ("{a b: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 9}}", "take another name"),
        ("{s: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 9, scale: stars}}",
         "`benchmark.judges.s.scale` should be one of levels, strict, criteria"),
        ("{s: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 9, share: 0}}",
         "`benchmark.judges.s.share` should be"),
        ("{s: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 9, repeat: 0}}",
         "`benchmark.judges.s.repeat` should be at least 1"),
        ("{s: {endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 9, scales: levels}}",
         "unknown key `benchmark.judges.s.scales`; did you mean `benchmark.judges.s.scale`?"),
    ],
)  # fmt: skip
def test_a_judge_that_cannot_be_is_refused_in_a_sentence(tmp_path, judges, said):
    with pytest.raises(UserError) as refused:
        mine(tmp_path, f"extends: smoke\nbenchmark: {{judges: {judges}}}\n")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("planted", "url", "said"),
    [
        ("{favour: 0.5}", "sandbox:", "needs a `habit`"),
        ("{judge_error: 0.5}", "http://127.0.0.1:1/v1", "is for the simulated model only"),
        ("{judge_error: 2}", "sandbox:", "`endpoints.simulated.planted.judge_error` should be"),
    ],
)
def test_what_cannot_be_planted_is_refused_in_a_sentence(tmp_path, planted, url, said):
    with pytest.raises(UserError) as refused:
        mine(tmp_path, f"extends: smoke\nendpoints: {{simulated: {{base_url: '{url}', planted: {planted}}}}}\n")
    assert said in str(refused.value)


SAID = {"profile": "Ana is a baker. She keeps two goats.", "personality": "Blunt, saying what she thinks.",
        "conversation": conversation([Message("user", "My goats got into the flour again.")])}  # fmt: skip


@pytest.mark.parametrize("reply", ["Put a latch on the goats' door.", "Museums are lovely, perhaps!", ""])
def test_the_simulated_judge_says_yes_exactly_where_its_level_is_four_or_five(reply):
    fit = simulated.fit(SAID["profile"], SAID["personality"], "My goats got into the flour again.", reply)
    level = int(ask("alignment_judge", **SAID, reply=reply).removeprefix("Score: "))
    assert level == simulated.level(fit)
    assert ask("strict_judge", **SAID, reply=reply) == f"Suits: {int(level >= 4)}"


def test_the_simulated_judges_criteria_are_about_different_things():
    def rate(reply, **knobs):
        return SCALES["criteria"].parse(ask("criteria_judge", knobs=dataclasses.replace(CLEAN, **knobs), **SAID,
                                            reply=reply))  # fmt: skip

    short, long = (rate("Put a latch on the goats' door. " * n) for n in (1, 12))
    assert (short["concise"], long["concise"]) == (5, 1)
    assert short["content"] == long["content"] > 1
    assert rate("Put a latch on your goats' door, shall we?")["engaging"] > rate("Latch it.")["engaging"]
    # a favour is a step on every criterion, for a reply that ends as its own do, and for no other
    kind = rate(f"Put a latch on the goats' door. {HABIT}")
    more = rate(f"Put a latch on the goats' door. {HABIT}", habit=HABIT, favour=1.0)
    assert {name: more[name] - kind[name] for name in kind} == {name: int(kind[name] < 5) for name in kind}
    assert rate("Latch it.", habit=HABIT, favour=1.0) == rate("Latch it.")


def test_a_habit_ends_every_reply_that_a_user_sees_and_nothing_else():
    knobs = dataclasses.replace(CLEAN, habit=HABIT)
    said = {"conversation": SAID["conversation"]}
    plain = [ask("self_critic", knobs=k, draft="Nice.", **said) for k in (CLEAN, knobs)]
    assert plain[0] == plain[1]
    for prompt, fields in (("concise", {}), ("reminder", {}), ("told_responder", {k: SAID[k] for k in ("profile",
                           "personality")})):  # fmt: skip
        without, with_habit = (ask(prompt, knobs=k, **fields) for k in (CLEAN, knobs))
        assert with_habit == f"{without} {HABIT}"


def test_the_truth_is_asked_without_faults_and_outside_the_journal(tmp_path):
    text = PRESET.replace("FAVOUR", "1.0").replace("sandbox: {judge_error: 0.0}", "sandbox: {judge_error: 1.0}")
    run = mine(tmp_path, text)
    transcripts = held("base", lambda p, k: f"Latch the door, {k} times. {HABIT}", who=people(2, 1))
    with open_chat(run) as chat:
        verdicts = score_further(chat, run, transcripts)
        calls = chat.usage.calls
    assert calls == 4 + 2 * 4  # strict once and kin twice of 4 replies; the truth is not among them
    truth = verdicts[verdicts["judge"] == TRUTH]
    expected = {
        (t.persona.id, k): simulated.level(simulated.fit(
            t.persona.profile, t.persona.personality, t.messages[2 * k - 2].content, t.messages[2 * k - 1].content))
        for t in transcripts for k in (1, 2)
    }  # fmt: skip
    levels = truth[truth["scale"] == "levels"].set_index(["case", "turn"])["value"].to_dict()
    assert levels == expected
    wrong = verdicts[(verdicts["judge"] == "strict")].set_index(["case", "turn"])["value"].to_dict()
    assert wrong == {place: 1 - int(level >= 4) for place, level in expected.items()}  # an error in every answer
    assert json.loads(verdicts.to_json(orient="records"))[0]["judge"] == "strict"
