"""The user changes in the middle: who speaks, who is judged, and how a fall and a recovery are counted."""

import dataclasses
import json

import pandas as pd
import pytest
from scripted_chat import ScriptedChat

from aloe.benchmark import converse, run_benchmark
from aloe.judging import judge, score_frame
from aloe.params import load_params
from aloe.policies import Entrant, told_system
from aloe.records import Message, Persona, PersonaShift, Transcript, from_dict, read_jsonl, to_json, write_jsonl
from aloe.runs import Run
from aloe.sections import Shift
from aloe.shift import (
    before_shift,
    described,
    described_minus,
    shift_curves,
    shift_effect,
    shift_minus,
    shift_table,
    with_dal,
)
from aloe.show import transcript as shown

ANA = Persona("bench-p01-t1", "bench-p01", "bench-t1", "Ana keeps bees.", "Blunt.")
BEN = Persona("bench-p02-t1", "bench-p02", "bench-t1", "Ben sails.", "Blunt.")


class Deaf:
    """A policy that always says the same, and notes what it was shown."""

    def __init__(self):
        self.shown = []

    def reply(self, conversations):
        self.shown.append([list(conversation) for conversation in conversations])
        return ["Mhm."] * len(conversations)


def user(messages) -> str:
    prompt = messages[0].content
    return f"{'Ana' if 'Ana keeps bees.' in prompt else 'Ben'} {prompt.count('<user>') + 1}"


def held(turn=3, n_turns=4, system=None):
    policy = Deaf()
    entrant = Entrant("deaf", "1", lambda: policy, system)
    return converse(ScriptedChat({"user": user}), entrant, policy, [ANA, BEN], n_turns, shift=turn), policy


def test_from_the_turn_of_the_shift_on_somebody_else_speaks_in_the_same_dialogue():
    (first, second), policy = held(turn=3)
    assert [m.content for m in first.messages[::2]] == ["Ana 1", "Ana 2", "Ben 3", "Ben 4"]
    assert [m.content for m in second.messages[::2]] == ["Ben 1", "Ben 2", "Ana 3", "Ana 4"]
    assert [m.content for m in policy.shown[2][0] if m.role == "user"] == ["Ana 1", "Ana 2", "Ben 3"]


def test_a_transcript_says_who_the_user_was_at_each_turn():
    (first, _), _ = held(turn=3)
    assert (first.persona, first.shift) == (ANA, PersonaShift(3, BEN))
    assert [first.persona_at(turn) for turn in (1, 2, 3, 4)] == [ANA, ANA, BEN, BEN]


def test_a_policy_that_was_told_the_persona_goes_on_with_the_old_one():
    _, policy = held(turn=2, system=told_system)
    assert [turn[0][0] for turn in policy.shown] == [Message("system", told_system(ANA))] * 4


def test_each_reply_is_judged_for_the_persona_of_its_turn_and_its_case_stays_one():
    (first, _), _ = held(turn=3)
    chat = ScriptedChat({"alignment_judge": lambda m: "Score: 5" if "Ana keeps bees." in m[0].content else "Score: 1"})
    rows = judge(chat, [first], load_params("smoke").roles.alignment_judge[:1])
    assert [row.level for row in rows] == [5, 5, 1, 1]
    assert {(row.case, row.profile_id) for row in rows} == {(ANA.id, ANA.profile_id)}


def test_the_preset_says_at_which_turn_and_another_turn_means_new_dialogues(tmp_path):
    params = load_params("smoke")

    def talk(**changes):
        sizes = dataclasses.replace(params.benchmark, n_profiles=2, n_personalities=1, n_turns=3, **changes)
        run = Run("smoke", dataclasses.replace(params, benchmark=sizes), tmp_path)
        chat = ScriptedChat({"user": lambda messages: "Hi."})
        return run_benchmark(chat, run, [Entrant("deaf", "1", Deaf)]), len(chat.asked)

    plain, asked = talk()
    assert (plain[0].shift, asked) == (None, 6)  # 2 cases x 3 turns
    assert talk()[1] == 0
    shifted, asked = talk(shift=Shift(2))
    assert (shifted[0].shift, asked) == (PersonaShift(2, plain[1].persona), 6)
    opened, asked = talk(opening="Hello")
    assert ([t.messages[0].content for t in opened], asked) == (["Hello", "Hello"], 4)  # nobody is asked at turn 1


def test_the_same_first_message_for_all_then_their_own_words():
    policy = Deaf()
    entrant = Entrant("deaf", "1", lambda: policy)
    chat = ScriptedChat({"user": user})
    first, second = converse(chat, entrant, policy, [ANA, BEN], 2, opening="Hello")
    assert [m.content for m in first.messages] == ["Hello", "Mhm.", "Ana 2", "Mhm."]
    assert second.messages[2].content == "Ben 2"
    assert policy.shown[0][0] == [Message("user", "Hello")]
    assert all("Hello" in asked.messages[0].content for asked in chat.asked)  # and to them, it was theirs


def test_transcripts_without_a_shift_are_written_and_read_as_ever(tmp_path):
    plain = Transcript("x-1", "x", ANA, (Message("user", "Hi"), Message("assistant", "Oh")))
    assert json.loads(to_json(plain)).keys() == {"id", "policy", "persona", "messages"}
    moved = dataclasses.replace(plain, shift=PersonaShift(2, BEN))
    assert json.loads(to_json(moved))["shift"] == {"turn": 2, "persona": dataclasses.asdict(BEN)}
    write_jsonl(tmp_path / "t.jsonl", [plain, moved])
    assert read_jsonl(Transcript, tmp_path / "t.jsonl") == [plain, moved]
    with pytest.raises(Exception, match="'turn' is missing"):
        from_dict(Transcript, json.loads(to_json(plain)) | {"shift": {"persona": dataclasses.asdict(BEN)}}, "here")


def test_a_transcript_shows_both_personas_at_their_place():
    (first, _), _ = held(turn=3)
    html = shown(first, score_frame([]))._repr_html_()
    places = [html.index(text) for text in ("Ana keeps bees.", "Ana 2", "somebody else", "Ben sails.", "Ben 3")]
    assert places == sorted(places)


def test_what_is_counted_of_a_persona_ends_where_its_user_does():
    (first, _), _ = held(turn=3)
    (cut,) = before_shift([first])
    assert (cut.messages, cut.shift) == (first.messages[:4], None)
    assert before_shift([cut]) == [cut]


def frame(by_case, policy="x", **columns) -> pd.DataFrame:
    """Judgements from {case: levels}; the case "p1-a" has the profile p1."""
    rows = [(policy, case, case.split("-")[0], "t1", turn, "m", level)
            for case, levels in by_case.items() for turn, level in enumerate(levels, 1)]  # fmt: skip
    names = ["policy", "case", "profile_id", "personality_id", "turn", "judge", "level"]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def test_the_fall_is_from_the_mean_of_the_turns_before_and_the_recovery_a_slope_from_the_shift_on():
    levels = {"p1-a": [1, 2, 3, 4, 1, 2, 3], "p2-a": [5, 4, 4, 4, 2, 3, 4]}
    effect = shift_effect(frame(levels), 5)
    # Before turn 5 come turns 2 to 4: 1 - (2+3+4)/3 = -2 and 2 - 4 = -2; then 1, 2, 3 and 2, 3, 4: one level a turn.
    assert effect.n_cases == 2
    assert effect.fall == pytest.approx((-2, -2, -2))
    assert effect.recovery == pytest.approx((1, 1, 1))


def test_fewer_turns_before_the_shift_are_taken_as_they_are():
    # At turn 2 there is one turn before: 1 - 4 = -3; then 1, 1: no slope.
    effect = shift_effect(frame({"p1-a": [4, 1, 1], "p2-a": [4, 1, 1]}), 2)
    assert (effect.fall.value, effect.recovery.value) == (-3, 0)


def test_intervals_are_those_of_profile_means():
    levels = {"p1-a": [3, 2, 2], "p1-b": [3, 2, 2], "p2-a": [3, 0, 0], "p2-b": [3, 0, 0]}
    effect = shift_effect(frame(levels), 2)
    # Falls -1, -1, -3, -3: two profile means -1 and -3, mean -2, standard error 1, t(0.975, 1 df) = 12.706.
    assert effect.fall == pytest.approx((-2, -14.706, 10.706), abs=1e-3)
    assert shift_effect(frame({"p1-a": [3, 2, 2]}), 2).fall == (-1, None, None)


def test_a_column_of_differences_takes_the_place_of_the_level():
    scores = frame({"p1-a": [3, 3, 3], "p2-a": [3, 3, 3]}).assign(level_shuffled=[1, 3, 2] * 2)
    # dAL is 2, 0, 1: a fall of 2, then one level a turn.
    effect = shift_effect(with_dal(scores), 2, "dal")
    assert (effect.fall.value, effect.recovery.value) == (-2, 1)
    assert shift_effect(scores, 2).fall.value == 0
    assert "dal" not in with_dal(frame({"p1-a": [3, 3, 3]}))
    assert "dal" not in with_dal(scores.assign(level_shuffled=[1, None, 2] * 2))  # nobody is a stranger to both persons
    with pytest.raises(ValueError, match="column 'dal' expected"):
        shift_effect(scores, 2, "dal")


def test_a_case_without_a_level_is_left_out_at_every_turn():
    scores = frame({"p1-a": [4, 1, 1], "p2-a": [4, 4, 4]})
    scores.loc[4, "level"] = None
    assert shift_effect(scores, 2)[:2] == (1, (-3, None, None))


@pytest.mark.parametrize("turn", [1, 3, 4])
def test_a_shift_needs_a_turn_before_it_and_two_after(turn):
    with pytest.raises(ValueError, match=r"turn 2\.\.2 expected"):
        shift_effect(frame({"p1-a": [4, 1, 1]}), turn)


def test_policies_side_by_side_and_in_words():
    steady = frame({"p1-a": [3, 3, 3], "p2-a": [3, 3, 3]}, "steady")
    shaken = frame({"p1-a": [4, 1, 2], "p2-a": [4, 1, 2]}, "shaken")
    table = shift_table(pd.concat([steady, shaken]), 2)
    assert table[["policy", "n_cases", "fall", "recovery"]].to_numpy().tolist() == [
        ["steady", 2, 0.0, 0.0], ["shaken", 2, -3.0, 1.0],
    ]  # fmt: skip
    assert described(table) == [
        "steady shows no fall where the user changes (+0.00 [+0.00, +0.00]) and shows no recovery afterwards "
        "(+0.00 [+0.00, +0.00])",
        "shaken falls where the user changes (-3.00 [-3.00, -3.00]) and recovers afterwards (+1.00 [+1.00, +1.00])",
    ]
    alone = shift_table(frame({"p1-a": [4, 1, 2]}), 2)
    assert described(alone)[0].startswith("x shows no fall where the user changes (-3.00 no interval)")


def test_a_recovery_is_held_against_that_of_a_policy_that_cannot_learn():
    # told moves by 1 - 4 = -3 in both cases, learner by 2 - 4 = -2 and 1 - 5 = -4: 1 less of a fall and 1 more. Then
    # told gains 1 a turn in both, learner 2 and 1.5: faster by 1 and by 0.5.
    told = frame({"p1-a": [4, 1, 2], "p2-a": [4, 1, 2]}, "told")
    learner = frame({"p1-a": [4, 2, 4], "p2-a": [5, 1, 2.5]}, "learner")
    table = shift_minus(pd.concat([told, learner]), 2, "told")
    assert table["policy"].tolist() == ["learner"]
    row = table.loc[0]
    # two profiles: mean 0, standard error 1, t(0.975, 1) = 12.706; mean 0.75, standard error 0.25
    assert row[["fall", "fall_low", "fall_high"]].tolist() == pytest.approx([0, -12.706, 12.706], abs=1e-3)
    assert row[["recovery", "recovery_low", "recovery_high"]].tolist() == pytest.approx(
        [0.75, 0.75 - 3.1765, 0.75 + 3.1765], abs=1e-3
    )
    # t(1) is Cauchy: p = 1 - 2 atan(t) / pi, which is 1 for t = 0 and 0.2048 for t = 3; Holm: 2 x 0.2048, and 1
    assert row[["fall_p", "recovery_p"]].tolist() == pytest.approx([1, 0.20483], abs=1e-5)
    assert row[["fall_p_holm", "recovery_p_holm"]].tolist() == pytest.approx([1, 0.40967], abs=1e-5)
    assert described_minus(table, "told", 0.05) == [
        "beside told, learner is not shown to fall more or less (+0.00 [-12.71, +12.71], corrected p 1.000) and is not "
        "shown to recover faster or more slowly (+0.75 [-2.43, +3.93], corrected p 0.410)"
    ]


def test_only_the_cases_of_both_policies_count_beside_another_and_correction_is_over_the_whole_table():
    told = frame({"p1-a": [3, 3, 3], "p2-a": [3, 3, 3], "p3-a": [3, 3, None]}, "told")
    # in both cases that count, slow falls 1 and recovers not, quick does not fall and gains a level a turn
    slow = frame({"p1-a": [3, 2, 2], "p2-a": [3, 2, 2], "p3-a": [5, 1, 5]}, "slow")
    quick = frame({"p1-a": [3, 3, 4], "p2-a": [3, 3, 4], "p3-a": [5, 1, 5]}, "quick")
    table = shift_minus(pd.concat([told, slow, quick]), 2, "told")
    assert table[["policy", "n_cases", "fall", "recovery"]].to_numpy().tolist() == [
        ["slow", 2, -1.0, 0.0], ["quick", 2, 0.0, 1.0],
    ]  # fmt: skip
    # what is 0 everywhere has no p; what is the same everywhere and not 0 has p = 0, also corrected
    assert table[["fall_p_holm", "recovery_p_holm"]].isna().to_numpy().tolist() == [[False, True], [True, False]]
    slower, faster = described_minus(table, "told", 0.05)
    assert slower.startswith("beside told, slow falls more (-1.00 [-1.00, -1.00], corrected p below 0.001)")
    assert faster.endswith("recovers faster (+1.00 [+1.00, +1.00], corrected p below 0.001)")
    assert shift_minus(told, 2, "told").empty
    with pytest.raises(ValueError, match="no case is complete for both 'slow' and 'told'"):
        shift_minus(pd.concat([told[told["case"] == "p1-a"], slow[slow["case"] != "p1-a"]]), 2, "told")


def test_a_rise_after_the_change_that_told_has_too_is_no_learning():
    # both gain half a level a turn in dAL after the change: beside 0 that is a recovery, beside told it is none
    scores = pd.concat([
        frame({"p1-a": [4, 2, 2.5], "p2-a": [4, 2, 2.5]}, policy).assign(level_shuffled=1) for policy in ("told", "dpo")
    ])  # fmt: skip
    scores = with_dal(scores)
    assert shift_effect(scores[scores["policy"] == "dpo"], 2, "dal").recovery == pytest.approx((0.5, 0.5, 0.5))
    assert shift_minus(scores, 2, "told", "dal").loc[0, ["fall", "recovery"]].tolist() == [0, 0]


def test_the_figure_marks_the_turn_and_fits_differences():
    scores = frame({"p1-a": [3, 3, 3], "p2-a": [3, 3, 2]}).assign(level_shuffled=[1, 3, 4] * 2)
    for column in ("level", "dal"):
        ax = shift_curves(with_dal(scores), 2, column)
        assert 1.5 in [line.get_xdata()[0] for line in ax.lines]
        low, high = ax.get_ylim()
        assert low < -2 < 2 < high if column == "dal" else (low, high) == (0.9, 5.1)


def test_the_figure_of_a_single_profile_has_no_band():
    scores = frame({"p1-a": [3, 3, 3]}).assign(level_shuffled=[1, 3, 4])  # dAL: 2, 0, -1
    low, high = shift_curves(with_dal(scores), 2, "dal").get_ylim()
    assert low < -1 < 2 < high
