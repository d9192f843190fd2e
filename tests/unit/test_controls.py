"""dAL, the blind judge and the first turn: hand-derived values, and what is planted is found."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sandbox_talk import CLEAN, ask, instructed, scored
from scripted_chat import ScriptedChat

from aloe import metrics
from aloe.control_figure import against_strangers
from aloe.controls import control_curves, minus_control
from aloe.dry import refuse_fields
from aloe.errors import UserError
from aloe.judging import judge, score_frame
from aloe.params import ROOT, load_params
from aloe.prompts import FOLDER, conversation
from aloe.records import Message, Persona, Transcript
from aloe.runs import Run
from aloe.sandbox.model import Knobs
from aloe.sandbox.reading import read_request
from aloe.shuffling import strangers
from aloe.stages import STAGES, inputs
from aloe.texts import load_texts

NAMES = ["policy", "case", "profile_id", "personality_id", "turn", "judge", "level", "level_shuffled", "level_blind"]


def judgements(levels, shuffled, blind=None, policy="p", judge="j"):
    """Rows of cases with a profile of their own; None is a level that is not there."""
    blind = blind or [[None] * len(case) for case in levels]
    rows = [
        (policy, f"bench-p{i}-t0", f"bench-p{i}", "bench-t0", turn, judge, *cell)
        for i, case in enumerate(zip(levels, shuffled, blind, strict=True))
        for turn, cell in enumerate(zip(*case, strict=True), 1)
    ]
    return pd.DataFrame(rows, columns=NAMES).astype(dict.fromkeys(NAMES[-3:], "Int64"))


def test_dal_its_turns_and_its_slope_by_hand():
    # gaps of the two cases: (0, 2) and (2, 4); by turn 1 and 3; means 1 and 3, so dAL 2; slopes 2 and 2.
    # t(0.975, 1 df) = 12.706, standard error of the means 1 and 3: sqrt(2) / sqrt(2) = 1
    found = metrics.summarise(judgements([[1, 4], [4, 5]], [[1, 2], [2, 1]]), 0.95, 10, 0)
    assert (found["dal"], found["dal_by_turn"], found["dal_ir"]) == (2.0, [1.0, 3.0], pytest.approx(2.0))
    assert found["dal_ci"] == pytest.approx([2 - 12.706, 2 + 12.706], abs=1e-3)
    assert found["dal_by_turn_ci"][0] == pytest.approx([1 - 12.706, 1 + 12.706], abs=1e-3)
    assert found["dal_ir_ci"] == pytest.approx([2, 2])
    assert found["al_shuffled"] == [1.5, 1.5]
    assert found["dal_n_cases"] == 2
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_where_users_become_somebody_else_dal_has_the_interval_that_knows_no_strangers():
    # Two profiles x two personalities: everybody is the stranger of one other. p0 gets 2 more as itself and as a
    # stranger, which leaves the mean: gaps 1 + 2 and 1 - 2.
    rows = [("p", f"p{i}-t{j}", f"p{i}", f"t{j}", turn, "j", 2 + 2 * (i == 0) + 1, 2 + 2 * (i == 1), None)
            for i in (0, 1) for j in (0, 1) for turn in (1, 2)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=NAMES)
    # by profile 3 and -1: mean 1, standard error 2, t(0.975, 1 df) = 12.706
    moved = metrics.summarise(frame, 0.95, 10, 0, shifted=True)
    assert (moved["dal"], moved["dal_ci"]) == (1, pytest.approx([1 - 25.412, 1 + 25.412], abs=1e-3))
    assert moved["dal_by_turn_ci"][0] == pytest.approx([1 - 25.412, 1 + 25.412], abs=1e-3)
    steady = metrics.summarise(frame, 0.95, 10, 0)
    assert steady["dal"] == 1
    # 2 / (2 - 1) profiles x (1 + 1 of who talks, less 2 x 0.5 of who is judged twice) = 2: 12.706 x sqrt(2) = 17.969
    assert steady["dal_ci"] == pytest.approx([1 - 17.969, 1 + 17.969], abs=1e-3)
    changed = {key for key in steady if steady[key] != moved[key]}
    assert changed <= {"dal_ci", "dal_by_turn_ci", "dal_ir_ci"}


def test_the_first_turn_stands_beside_the_mean_of_the_later_ones():
    # turn 1: 1 and 3, mean 2; later means (2 + 4) / 2 = 3 and (5 + 5) / 2 = 5, mean 4; both standard errors 1
    found = metrics.summarise(judgements([[1, 2, 4], [3, 5, 5]], [[None] * 3] * 2), 0.95, 10, 0)
    assert (found["al_first"], found["al_after_first"]) == (2.0, 4.0)
    assert found["al_first_ci"] == pytest.approx([2 - 12.706, 2 + 12.706], abs=1e-3)
    assert found["al_after_first_ci"] == pytest.approx([4 - 12.706, 4 + 12.706], abs=1e-3)


def test_a_case_without_a_level_of_the_control_keeps_its_place_in_al_and_has_none_in_dal():
    found = metrics.summarise(judgements([[3, 3], [5, 5], [1, 1]], [[1, 1], [1, None], [1, 2]]), 0.95, 10, 0)
    assert found["al"] == [3.0, 3.0]
    assert found["n_cases"] == 3
    # gaps of the first and the third case: (2, 2) and (0, -1)
    assert (found["dal_by_turn"], found["dal"], found["dal_n_cases"]) == ([1.0, 0.5], 0.75, 2)


def test_several_judges_of_a_control_are_averaged_and_all_of_them_are_needed():
    one = judgements([[4, 4], [4, 4]], [[1, 1], [1, 1]], judge="a")
    two = judgements([[4, 4], [4, 4]], [[3, 3], [None, 3]], judge="b")
    found = metrics.summarise(pd.concat([one, two]), 0.95, 10, 0)
    assert (found["dal"], found["al_shuffled"], found["dal_n_cases"]) == (2.0, [2.0, 2.0], 1)


def test_without_a_control_its_values_are_none_also_in_files_without_its_columns():
    frame = judgements([[1, 2], [3, 4]], [[None, None]] * 2)
    for rows in (frame, frame.drop(columns=["level_shuffled", "level_blind"])):
        found = metrics.summarise(rows, 0.95, 10, 0)
        assert {name for name in found if name.startswith(("dal", "al_shuffled", "al_blind"))} == {
            "dal", "dal_ci", "dal_by_turn", "dal_by_turn_ci", "dal_ir", "dal_ir_ci", "dal_n_cases", "al_shuffled",
            "al_blind", "al_blind_mean", "al_blind_mean_ci",
        }  # fmt: skip
        assert all(found[name] is None for name in found if name.startswith(("dal", "al_shuffled", "al_blind")))
        assert control_curves({"p": found}).empty
        assert minus_control(rows)["level"].isna().all()


def test_the_blind_judge_has_its_own_curve():
    found = metrics.summarise(judgements([[1, 1], [1, 1]], [[None] * 2] * 2, [[3, 4], [5, 4]]), 0.95, 10, 0)
    assert (found["al_blind"], found["al_blind_mean"]) == ([4.0, 4.0], 4.0)
    assert found["al_blind_mean_ci"] == pytest.approx([4 - 12.706 * 0.5, 4 + 12.706 * 0.5], abs=1e-3)


def test_two_policies_differ_in_dal_on_the_cases_complete_for_both():
    ours = judgements([[4, 5], [3, 5], [5, 5]], [[1, 1], [2, 2], [1, 1]], policy="dpo")
    theirs = judgements([[2, 2], [2, 3], [1, 1]], [[1, 2], [2, 2], [None, 1]], policy="base")
    # gaps dpo (3, 4), (1, 3); base (1, 0), (0, 1): differences (2, 4), (1, 2), so 1.5 and 3 by turn
    found = metrics.paired_difference(minus_control(pd.concat([ours, theirs])), "dpo", "base")
    assert [turn.value for turn in found.by_turn] == [1.5, 3.0]
    assert (found.n_cases, found.al_mean.value, found.ir.value) == (2, 2.25, pytest.approx(1.5))


def test_without_a_difference_the_interval_misses_zero_about_one_time_in_twenty():
    # 40 studies of 20 profiles x 5, level and control drawn alike with a profile's taste in both: 2 misses expected,
    # more than 7 in 0.1% of all seeds; the seed is fixed
    rng, misses = np.random.default_rng(7), 0
    for _ in range(40):
        taste = rng.normal(0, 0.7, (20, 1, 1))
        drawn = [np.clip(np.round(3 + taste + rng.normal(0, 1, (20, 5, 10))), 1, 5) for _ in range(2)]
        rows = [
            ("p", f"bench-p{i}-t{j}", f"bench-p{i}", f"bench-t{j}", k + 1, "j", *(d[i, j, k] for d in drawn), None)
            for i in range(20) for j in range(5) for k in range(10)
        ]  # fmt: skip
        low, high = metrics.summarise(pd.DataFrame(rows, columns=NAMES), 0.95, 10, 0)["dal_ci"]
        misses += not low <= 0 <= high
    assert misses <= 7


CASES = [
    Persona(f"bench-p{i}-t{j}", f"bench-p{i}", f"bench-t{j}", f"{name} keeps {pet}.", f"{name} is {trait}.")
    for i, (name, pet) in enumerate([("Ana", "bees"), ("Ben", "goats"), ("Eve", "owls")])
    for j, trait in enumerate(["blunt", "kind"])
]


def held(policy, reply):
    """Two turns with every case; `reply` makes a reply of a persona and a turn."""

    def messages(case):
        return (Message("user", "Hi."), Message("assistant", reply(case, 1)),
                Message("user", "And?"), Message("assistant", reply(case, 2)))  # fmt: skip

    return [Transcript(f"{policy}-{case.id}", policy, case, messages(case)) for case in CASES]


def toy_judge(messages):
    """5 if the reply names the pet in the persona's profile, else 3 where it is friendly, else 1."""
    prompt = messages[0].content
    reply = prompt.split("<reply>")[1].split("</reply>")[0]
    pet = next((word for word in ("bees", "goats", "owls") if f"keeps {word}." in prompt), None)
    return f"Score: {5 if pet and pet in reply else 3 if 'lovely' in reply else 1}"


def test_a_policy_that_knows_its_user_has_dal_and_one_that_is_merely_friendly_has_none():
    knowing = held("knowing", lambda case, turn: f"And how are the {case.profile.split()[-1]}" if turn == 2 else "Hi.")
    friendly = held("friendly", lambda case, turn: "What a lovely day.")
    chat = ScriptedChat({"alignment_judge": toy_judge})
    role = load_params("smoke").roles.alignment_judge[:1]
    frame = score_frame(judge(chat, knowing + friendly, role, ("shuffled", "blind")))
    entries = {name: metrics.summarise(frame[frame["policy"] == name], 0.95, 10, 0) for name in ("knowing", "friendly")}
    # knowing: turn 1 has 1 for everybody, turn 2 has 5 for the user and 1 for the stranger, who keeps another animal
    assert (entries["knowing"]["al"], entries["knowing"]["dal_by_turn"]) == ([1.0, 5.0], [0.0, 4.0])
    assert entries["knowing"]["dal_ci"] == pytest.approx([2.0, 2.0])
    # friendly: a higher level at first, the same for everybody, and the blind judge gives it too
    assert (entries["friendly"]["al"], entries["friendly"]["dal_by_turn"]) == ([3.0, 3.0], [0.0, 0.0])
    assert entries["friendly"]["al_blind"] == [3.0, 3.0]
    assert entries["knowing"]["al_blind"] == [1.0, 1.0]
    curves = control_curves(entries)
    assert curves[curves["policy"] == "knowing"]["dal"].tolist() == [0.0, 4.0]
    above, below = against_strangers(curves, "simulated", 0.95)
    assert [line.get_ydata().tolist() for line in below.lines if line.get_label() == "knowing"] == [[0.0, 4.0]]
    assert any(line.get_linestyle() == "--" and list(line.get_ydata()) == [1.0, 1.0] for line in above.lines)


def test_only_the_persona_in_the_prompt_is_anothers():
    chat = ScriptedChat({"alignment_judge": "Score: 2"})
    transcript, others = held("p", lambda case, turn: f"Reply {turn}.")[0], strangers(CASES)
    judge(chat, [transcript, *held("q", lambda case, turn: "No.")], load_params("smoke").roles.alignment_judge[:1],
          ("shuffled", "blind"))  # fmt: skip
    asked = [a.messages[0].content for a in chat.asked if "Reply 1." in a.messages[0].content and "Reply 2." not in
             a.messages[0].content]  # fmt: skip
    assert len(asked) == 3
    own, stranger = transcript.persona, others[transcript.persona.id]
    shuffled = next(prompt for prompt in asked if stranger.profile in prompt)
    assert shuffled.replace(stranger.profile, own.profile).replace(stranger.personality, own.personality) in asked
    (blind,) = [prompt for prompt in asked if "stays hidden from you" in prompt]
    assert not any(word in blind for word in ("Ana", "bees", "blunt", "<profile>"))


def test_a_control_is_left_out_where_it_is_not_asked_for_or_does_not_exist():
    role = load_params("smoke").roles.alignment_judge[:1]
    chat = ScriptedChat({"alignment_judge": "Score: 2"})
    assert {row.level_shuffled for row in judge(chat, held("p", lambda case, turn: "Hi."), role)} == {None}
    one_kind = [t for t in held("p", lambda case, turn: "Hi.") if t.persona.personality_id == "bench-t0"]
    rows = judge(chat, one_kind, role, ("shuffled", "blind"))
    assert {(row.level, row.level_shuffled, row.level_blind) for row in rows} == {(2, None, 2)}
    frame = score_frame(rows)
    assert frame["level_shuffled"].isna().all()
    assert [str(frame[name].dtype) for name in NAMES[-3:]] == ["Int64"] * 3


MESSAGE = "I keep a grey parrot and it has stopped talking."


def blindly(reply, **knobs):
    fields = {"conversation": conversation([Message("user", MESSAGE)]), "reply": reply}
    return ask("blind_judge", knobs=Knobs(**{**vars(CLEAN), **knobs}), **fields)


def test_the_blind_judge_of_the_sandbox_is_recognised_and_goes_by_the_text_alone():
    fields = {"conversation": conversation([Message("user", MESSAGE)]), "reply": "Hm."}
    assert read_request(instructed("blind_judge", **fields)).role == "blind"
    # warm, about the parrot, human: 0.5 + 0.4 + 0.1 is past 0.8; hostile and about nothing: 0.05, since it is short
    assert blindly("I am so happy to hear of your lovely parrot, you must love it dearly.") == "Score: 5"
    assert blindly("Terrible. Awful, hateful weather.") == "Score: 1"
    assert blindly("Hm.", effect=0.0) == blindly("Hm.", effect=1.0)  # it has no persona to ignore


def test_in_a_null_world_the_persona_makes_no_difference_and_otherwise_it_does():
    # 60 replies that name the user's own instrument, judged for the user and for somebody else, with and without effect
    profiles = load_texts(ROOT / "aloe" / "data" / "seed_profiles.jsonl", 10)[:10]
    mine = ("She plays the cello.", "She is cheerful and warm.")
    message, gaps = "Good morning, it rains again.", {}
    for effect in (0.0, 1.0):
        knobs = Knobs(**{**vars(CLEAN), "effect": effect})
        gaps[effect] = [
            scored(mine, message, reply, seed=seed, knobs=knobs)
            - scored((other.text, "He is gruff."), message, reply, seed=seed, knobs=knobs)
            for seed, other in enumerate(profiles)
            for reply in (f"Take your cello out, {i} minutes will do!" for i in range(6))
        ]
    # without effect both levels are rounded draws from 0 to 0.8: standard deviation of a gap about 1.8, of the mean of
    # 60 about 0.24; three of them are 0.72
    assert abs(np.mean(gaps[0.0])) < 0.72
    assert np.mean(gaps[1.0]) > 1


def test_the_blind_judges_prompt_is_needed_only_where_it_asks(tmp_path):
    for path in FOLDER.glob("*.txt"):
        if path.stem != "blind_judge":
            (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    benchmark_stage = next(stage for stage in STAGES if stage.name == "06_aloe_benchmark")
    read = {}
    for controls in (("shuffled",), ("shuffled", "blind")):
        params = load_params("smoke")
        bench = dataclasses.replace(params.benchmark, controls=controls)
        params = dataclasses.replace(params, prompts=str(tmp_path), benchmark=bench)
        read[controls] = {path.stem for path in inputs(benchmark_stage, Run("smoke", params, tmp_path / "run"))}
    assert read["shuffled", "blind"] - read[("shuffled",)] == {"blind_judge"}
    refuse_fields(tmp_path, unused=("blind_judge",))
    with pytest.raises(UserError, match=r"There is no prompt .*blind_judge"):
        refuse_fields(tmp_path)


def test_a_preset_names_its_controls_and_may_switch_them_off(tmp_path):
    def given(controls):
        path = tmp_path / "mine.yaml"
        path.write_text(f"extends: smoke\ndescription: Mine\nbenchmark: {{controls: {controls}}}\n", encoding="utf-8")
        return load_params(str(path)).benchmark.controls

    assert (given("[blind]"), given("null")) == (("blind",), None)
    with pytest.raises(UserError, match=r"`benchmark\.controls\[0\]` should be one of shuffled, blind"):
        given("[other]")
