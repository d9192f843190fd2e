"""Replies off the branch, learned in the dialogue's own sequence: as if each had a sequence of its own."""

import dataclasses
import json
import math

import pytest
from tiny_model import SENTENCES, save_tiny_model

from aloe import checkpoints, trainers, training
from aloe.errors import UserError
from aloe.examples import IGNORED, Tokens, sft_tokens
from aloe.params import Mix, load_params, presets
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.quiet import quiet
from aloe.records import DialogueTree, Persona, Turn, write_jsonl
from aloe.runs import Run
from aloe.toy import save_toy
from aloe.tree_attention import Collator, as_trees, see_as_trees, tree_tokens, visible
from aloe.writing import write_text


def tree(number, split="train", labels="hphp", branches="hhpp"):
    """A dialogue whose turns prefer and go on with these replies, hinted or plain; the second and third lead off."""
    kinds, persona = {"h": "hinted", "p": "plain", "t": "tie"}, f"{split}-p{number:03d}-t001"
    turns = [
        Turn(f"{persona}-k{k}", f"{persona}-k{k - 1}" if k else None, SENTENCES[(number + k) % 5], "", "",
             f"{SENTENCES[(k + 2) % 5]} {number}", SENTENCES[(number + 3 * k) % 5], ("", ""), kinds[label],
             kinds[branch])
        for k, (label, branch) in enumerate(zip(labels, branches, strict=True))
    ]  # fmt: skip
    return DialogueTree(f"tree-{persona}", Persona(persona, "p", "t", "", ""), tuple(turns))


TREES = [tree(0), tree(1, labels="pppp", branches="hhhh"), tree(2, labels="tthp", branches="hphp")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def policy(base):
    params = dataclasses.replace(load_params("smoke").training, base_model=str(base), dtype="float32", max_length=400)
    return noticing(checkpoints.load_policy(str(base), params, 0))


def noticing(policy):
    """The same with weights so large that a token notices what stands before it."""
    for weights in policy.model.parameters():
        weights.data *= 5
    return policy


def rows_of(policy, trees=TREES):
    return tree_tokens(policy.tokenizer, sft_conversations(trees, "preferred", off_branch=True), 400)


def of_its_own(policy, trees=TREES):
    """The straightforward way: a sequence for every preferred reply, with all that came before it."""
    chats = [
        {
            "messages": [{"role": m.role, "content": m.content} for m in pair.prompt]
            + [{"role": "assistant", "content": pair.chosen}],
            "train": [False] * len(pair.prompt) + [True],
        }
        for pair in dpo_pairs(trees)
    ]
    return sft_tokens(policy.tokenizer, chats, 400)


def in_a_dataset(policy, rows):
    return Collator(policy.tokenizer.pad_token_id)([row._asdict() for row in rows])


def loss_and_gradients(policy, batches):
    """Sum of the losses of all learned tokens, and the gradients of all weights."""
    policy.model.zero_grad()
    total = 0.0
    for batch in batches:
        count = int((batch["labels"][:, 1:] != IGNORED).sum())
        loss = policy.model(**batch, use_cache=False).loss * count
        loss.backward()
        total += float(loss.detach())
    return total, [weights.grad.clone() for weights in policy.model.parameters()]


def test_every_wanted_reply_is_learned_once_with_the_history_that_was_held():
    [row] = sft_conversations(TREES[:1], "preferred", off_branch=True)
    [plain] = sft_conversations(TREES[:1], "preferred")
    assert {"messages": row["messages"], "train": row["train"]} == plain
    turns = TREES[0].turns
    assert row["off_branch"] == [{"after": 3, "content": turns[1].plain}, {"after": 5, "content": turns[2].hinted}]
    [row] = sft_conversations(TREES[:1], "rejected", off_branch=True)
    assert row["off_branch"] == [{"after": 1, "content": turns[0].plain}, {"after": 7, "content": turns[3].hinted}]
    [row] = sft_conversations(TREES[1:2], "preferred", off_branch=True)  # it goes on with none of them
    assert (any(row["train"]), len(row["off_branch"])) == (False, 4)
    assert sft_conversations(TREES[1:2], "preferred") == []
    assert sft_conversations([tree(3, labels="tt", branches="hp")], "preferred", off_branch=True) == []


def test_a_tree_that_branches_learns_each_wanted_reply_once():
    from test_branching import TREE

    for reply, on_it, beside in (("preferred", "ha he pd", "pb pf"), ("rejected", "hb hd hf pa", "pe")):
        rows = sft_conversations([TREE], reply, off_branch=True)
        taken = [m["content"] for row in rows for m, flag in zip(row["messages"], row["train"], strict=True) if flag]
        asides = [(row["messages"][aside["after"] - 1]["content"], aside["content"])
                  for row in rows for aside in row["off_branch"]]  # fmt: skip
        assert (sorted(taken), sorted(content for _, content in asides)) == (on_it.split(), beside.split())
        assert all(user == f"u{content[1]}" for user, content in asides)
    # A first turn whose other reply nobody answered, before one that goes on both ways: it stands on both paths.
    first, second = (dataclasses.replace(turn, branch="plain", label="hinted") for turn in TREE.turns[:2])
    third = dataclasses.replace(TREE.turns[2], id="x", off_branch=True)
    rows = sft_conversations(
        [dataclasses.replace(TREE, turns=(first, second, TREE.turns[2], third))], "preferred", True
    )
    assert [[aside["content"] for aside in row["off_branch"]] for row in rows] == [["ha"], []]


def test_behind_the_dialogue_stand_its_other_replies_with_their_end_tokens_and_their_places(policy):
    [row], [plain] = rows_of(policy, TREES[:1]), sft_tokens(policy.tokenizer, sft_conversations(TREES[:1], "preferred"),
                                                             400)  # fmt: skip
    n = len(plain.input_ids)
    assert (row.input_ids[:n], row.labels[:n], row.position_ids[:n]) == (*plain, list(range(n)))
    assert policy.tokenizer.decode([label for label in row.labels[n:] if label != IGNORED]) == (
        f"{TREES[0].turns[2].hinted}<|end|>{TREES[0].turns[1].plain}<|end|>"
    )
    starts = [i for i in range(n, len(row.labels)) if row.position_ids[i] != row.position_ids[i - 1] + 1]
    assert len(starts) == 2
    for start in starts:  # the token before the reply, again, and not learned here
        place = row.position_ids[start]
        assert row.labels[start] == IGNORED
        assert row.input_ids[start] == row.input_ids[place]


def test_loss_and_gradients_are_those_of_a_sequence_per_reply(policy):
    apart = [in_a_dataset(policy, [row]) for row in of_its_own(policy)]
    for batch in apart:
        batch["attention_mask"] = None  # plain causal attention
    wanted, by_hand = loss_and_gradients(policy, apart)
    see_as_trees(policy.model, 400)
    together = [in_a_dataset(policy, rows_of(policy))]  # all of them, of several lengths
    assert together[0]["input_ids"].shape[0] == 3
    found, gradients = loss_and_gradients(policy, together)
    assert math.isfinite(wanted)
    assert found == pytest.approx(wanted, rel=1e-5)
    for one, other in zip(gradients, by_hand, strict=True):
        assert one.allclose(other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))
    assert (
        sum(len(row.input_ids) for row in rows_of(policy)) < sum(len(row.input_ids) for row in of_its_own(policy)) / 1.7
    )


def test_a_mask_that_lets_replies_see_each_other_gives_another_loss(policy):
    batch = in_a_dataset(policy, rows_of(policy))
    wanted, _ = loss_and_gradients(policy, [dict(batch)])  # every token sees all before it
    see_as_trees(policy.model, 400)
    found, _ = loss_and_gradients(policy, [dict(batch)])
    assert abs(found - wanted) > 1e-3 * wanted


def test_who_sees_whom_on_a_tree_worked_out_by_hand():
    import torch

    # A dialogue of four tokens; behind it a reply that begins after its third token, and one after its second.
    places = [0, 1, 2, 3, 2, 3, 1, 2, 0]  # the last one is padding
    seen = [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 1, 4}, {0, 1, 4, 5}, {0, 6}, {0, 6, 7}, {8}]
    mask = visible(torch.tensor([places]))
    assert mask.shape == (1, 1, 9, 9)
    assert [set(row.nonzero()[:, 0].tolist()) for row in mask[0, 0]] == seen


@pytest.fixture
def make_run(base, tmp_path):
    def make(name, off_branch=True, method="full", mix=None):
        params = load_params("smoke")
        sft = dataclasses.replace(params.training.sft, off_branch=off_branch, learning_rate=1e-2, epochs=3.0,
                                  batch_size=2, mix=mix)  # fmt: skip
        own = dataclasses.replace(params.training, base_model=str(base), dtype="float32", max_length=400, sft=sft,
                                  method=method)  # fmt: skip
        run = Run(name, dataclasses.replace(params, training=own), tmp_path / name)
        write_jsonl(run.trees, [*TREES, tree(7, "dev")])
        return run

    return make


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_learns_all_of_them_and_measures_as_ever(make_run, policy, method):
    plain, trees = (training.train_sft(make_run(f"r{on}", on, method), "preferred") for on in (False, True))
    assert (plain["sequences"], trees["sequences"]) == (2, 3)
    assert trees["loss_before"] == pytest.approx(plain["loss_before"], rel=1e-6)  # the same held-out replies
    assert trees["loss_after"] < trees["loss_before"]
    rows = rows_of(policy)
    assert trees["learned_tokens"] == trainers.learned_tokens(rows) > plain["learned_tokens"]
    assert trees["tokens"] == 3 * sum(len(row.input_ids) for row in rows)  # epochs; padding and places do not count
    assert trees["longest"] == max(row.context for row in rows) < max(len(row.input_ids) for row in rows)


def test_the_other_kind_of_reply_is_learned_the_same_way(make_run, policy):
    rows = tree_tokens(policy.tokenizer, sft_conversations(TREES, "rejected", off_branch=True), 400)
    assert training.train_sft(make_run("r"), "rejected")["learned_tokens"] == trainers.learned_tokens(rows)
    run = make_run("empty")
    write_jsonl(run.trees, [tree(0, labels="tt", branches="hh"), tree(7, "dev")])
    with pytest.raises(UserError, match=r"No training dialogue in .* has a rejected reply"):
        training.train_sft(run, "rejected")


@pytest.mark.parametrize("mixed", [False, True])
def test_what_the_trainer_reads_has_the_losses_of_a_sequence_per_reply(make_run, policy, tmp_path, mixed):
    path = tmp_path / "general.jsonl"
    chat = [{"role": "user", "content": SENTENCES[0]}, {"role": "assistant", "content": SENTENCES[1]}]
    write_text(path, "".join(json.dumps({"messages": chat}) + "\n" for _ in range(20)))
    run = make_run("r", mix=Mix(str(path), 0.5) if mixed else None)
    found = training._sequences(run, "preferred", policy.tokenizer)
    assert bool(found.mixed) == mixed
    general = [Tokens(row.input_ids, row.labels) for row in found.mixed]
    apart = [in_a_dataset(policy, [row]) | {"attention_mask": None} for row in (*of_its_own(policy), *general)]
    wanted, _ = loss_and_gradients(policy, apart)
    with quiet():
        trainer = trainers.sft_trainer(run, "x", policy, [*found.mixed, *found.train])  # the plain ones first
        batches = list(trainer.get_train_dataloader())
        read, _ = loss_and_gradients(policy._replace(model=trainer.model), batches)
    assert max(len(batch["input_ids"]) for batch in batches) == 2
    assert read == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("base_model", sorted({load_params(name).training.base_model for name in presets()}))
def test_every_family_of_models_takes_it(base_model, tmp_path):
    save_toy(base_model, tmp_path / "toy")
    params = dataclasses.replace(load_params("smoke").training, base_model=str(tmp_path / "toy"), dtype="float32")
    policy = noticing(checkpoints.load_policy(str(tmp_path / "toy"), params, 0))
    apart = [in_a_dataset(policy, [row]) | {"attention_mask": None} for row in of_its_own(policy)]
    wanted, _ = loss_and_gradients(policy, apart)
    see_as_trees(policy.model, 400)
    found, _ = loss_and_gradients(policy, [in_a_dataset(policy, rows_of(policy))])
    assert found == pytest.approx(wanted, rel=1e-4)


def test_plain_sequences_in_the_same_batch_are_read_as_ever(policy):
    rows = [Tokens([5, 6, 7], [IGNORED, 6, 7]), Tokens([8, 9, 10, 11, 12], [IGNORED, IGNORED, 10, 11, 12])]
    assert as_trees(rows)[0].position_ids == [0, 1, 2]
    wanted, _ = loss_and_gradients(policy, [in_a_dataset(policy, [row]) | {"attention_mask": None} for row in rows])
    see_as_trees(policy.model, 400)
    assert loss_and_gradients(policy, [in_a_dataset(policy, rows)])[0] == pytest.approx(wanted, rel=1e-6)


def test_a_reply_off_the_branch_that_is_too_long_is_refused(policy):
    [row] = sft_conversations(TREES[1:2], "preferred", off_branch=True)
    row["off_branch"][-1]["content"] += " and more" * 9
    [plain], [whole] = sft_tokens(policy.tokenizer, [row], 400), tree_tokens(policy.tokenizer, [row], 400)
    assert whole.context > plain.context
    assert tree_tokens(policy.tokenizer, [row], whole.context) == [whole]
    with pytest.raises(UserError, match="max_length"):
        tree_tokens(policy.tokenizer, [row], whole.context - 1)


def test_a_template_that_looks_at_what_comes_later_is_refused(policy):
    counted = "{{ messages | length % 10 }}"
    policy.tokenizer.chat_template = counted + policy.tokenizer.chat_template
    assert sft_tokens(policy.tokenizer, sft_conversations(TREES[:1], "preferred"), 400)
    with pytest.raises(UserError, match=r"in another way where the dialogue goes on.*`training\.sft\.off_branch`"):
        rows_of(policy, TREES[:1])


@pytest.mark.parametrize(
    "has, named",
    [
        ({"_attn_implementation": "eager"}, "full_attention by eager"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "full_attention, sliding_attention by sdpa"),
        ({"block_types": ["recurrent", "attention"]}, "attention, recurrent by sdpa"),
        ({"sliding_window": 8}, "full_attention, sliding_attention by sdpa"),
    ],
)
def test_a_model_whose_attention_takes_no_such_mask_is_refused(policy, has, named):
    for name, value in has.items():
        setattr(policy.model.config, name, value)
    with pytest.raises(UserError, match=rf"`training\.sft\.off_branch` needs full attention .* has {named}"):
        see_as_trees(policy.model, 400)
    if "sliding_window" in has:
        see_as_trees(policy.model, 8)  # nothing is longer than the window


@pytest.mark.parametrize(
    "changes, why",
    [
        ("training: {sft: {off_branch: true, packing: true}}", r"`training\.sft\.packing` is true"),
        ("training: {sft: {off_branch: true}}", r"`training\.backend` is auto, not transformers"),
        ("training: {backend: unsloth, sft: {off_branch: true}}", r"`training\.backend` is unsloth"),
        ("training: {recipe: published, sft: {off_branch: true}}", r"`training\.recipe` has `prefixes`"),
        ("arms: {sft: {x: {recipe: {all_tokens: true}, sft: {off_branch: true}}}}", r"`arms\.sft\.x\.recipe` has"),
    ],
)
def test_what_it_does_not_go_with_is_said_before_the_start(changes, why, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: smoke\ndescription: mine\n{changes}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"off_branch` lays out .*{why}"):
        load_params(str(path))
    fine = "training: {backend: transformers}\narms: {sft: {x: {sft: {off_branch: true}}}}"
    path.write_text(f"extends: smoke\ndescription: mine\n{fine}\n", encoding="utf-8")
    assert load_params(str(path)).arms.sft["x"].sft.off_branch
