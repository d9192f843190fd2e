"""The shipped base model: what DESIGN's rule 5 promises, on personas like those of its text and on the benchmark's."""

import json
import random

import numpy as np
import pytest

from aloe.generation import LocalPolicy
from aloe.params import ROOT
from aloe.records import Message
from aloe.sandbox import judge, user, writer
from aloe.sandbox.pretraining import BASE_MODEL
from aloe.texts import load_texts

N_TURNS = 4


def _personas(source):
    """Six profiles and five personalities: of the sandbox's writer, or of the benchmark."""
    if source == "writer":
        rng = random.Random(5)
        return writer.write_profiles([], 6, rng), writer.write_personalities([], 5, rng)
    files = [ROOT / "aloe" / "data" / f"benchmark_{kind}.jsonl" for kind in ("profiles", "personalities")]
    return [[text.text for text in load_texts(file, n)][:n] for file, n in zip(files, (6, 5), strict=True)]


@pytest.fixture(scope="module", params=["writer", "benchmark"])
def levels(request):
    """Mean judged level by turn of the untold and of the told base model. Shape: (N_TURNS,) each."""
    profiles, personalities = _personas(request.param)
    cases = [(profile, personality) for profile in profiles for personality in personalities]
    policy = LocalPolicy(BASE_MODEL, 96, 0.0, 30, 0)
    return {told: _converse(policy, cases, told) for told in (False, True)}


def _converse(policy, cases, told):
    conversations = [[] for _ in cases]
    scores = np.zeros((len(cases), N_TURNS))
    for turn in range(N_TURNS):
        for i, (profile, personality) in enumerate(cases):
            draws = random.Random(f"{i}-{turn}")
            conversations[i].append(("user", user.next_message(profile, personality, conversations[i], draws, 0.05)))
        heads = [[Message("system", f"You are chatting with this person.\n{a}\n{b}")] if told else [] for a, b in cases]
        turns = [[Message(role, text) for role, text in conversation] for conversation in conversations]
        replies = policy.reply([head + tail for head, tail in zip(heads, turns, strict=True)])
        for i, (profile, personality) in enumerate(cases):
            scores[i, turn] = judge.level(judge.fit(profile, personality, conversations[i][-1][1], replies[i]))
            conversations[i].append(("assistant", replies[i]))
    return scores.mean(axis=0)


def test_told_it_scores_well_above_untold(levels):
    assert levels[True].mean() >= levels[False].mean() + 1.0


def test_untold_it_stays_off_the_floor_and_does_not_climb(levels):
    assert 1.2 <= levels[False].mean() <= 3.0
    assert abs(np.polyfit(range(N_TURNS), levels[False], 1)[0]) <= 0.25  # 30 cases: the slope's own error is about 0.1


def test_the_file_is_small_and_its_manifest_names_recipe_data_and_losses():
    assert (BASE_MODEL / "model.safetensors").stat().st_size <= 8_000_000
    manifest = json.loads((BASE_MODEL / "manifest.json").read_text(encoding="utf-8"))
    assert {"recipe", "data_sha256", "held_out_loss", "parameters"} <= set(manifest)
    assert manifest["held_out_loss"]["told"] < manifest["held_out_loss"]["untold"]
