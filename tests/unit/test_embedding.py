import socket

import numpy as np
import pytest

from aloe.embedding import EMBEDDERS, embed, ngrams

CAT = "She keeps a one-eyed cat called Bento."
KITTEN = "She owns a cat with one eye, named Bento."
TRAM = "His father mends trams for the city."


def test_no_texts_give_no_rows_and_load_no_model():
    assert embed([]).shape == (0, 384)


def test_rows_are_unit_float32_in_order_and_repeatable():
    rows = embed([CAT, TRAM, CAT])
    assert rows.shape == (3, 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert np.array_equal(rows[0], rows[2])
    assert np.array_equal(rows, embed([CAT, TRAM, CAT]))


def test_a_paraphrase_is_nearer_than_another_fact():
    cat, kitten, tram = embed([CAT, KITTEN, TRAM])
    assert cat @ kitten > 0.7
    assert cat @ tram < 0.3


def test_a_text_in_other_company_keeps_its_row():
    alone, in_company = embed([CAT])[0], embed([TRAM * 20, CAT, "Hm."])[1]
    assert alone == pytest.approx(in_company, abs=1e-5)


def test_no_network_is_needed(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the embedder opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    from aloe import embedding

    embedding._model.cache_clear()
    assert embed([TRAM]).shape == (1, 384)


def test_pieces_of_words_work_in_every_script_and_see_a_copy_under_another_name():
    greek, copy, other = ngrams(["Η Ζωή ψήνει ψωμί.", "Η Εύα ψήνει ψωμί.", "Ο Νίκος έχει τρεις γάτες."])
    assert greek @ copy > 0.5 > greek @ other
    assert ngrams(["花子は猫を飼っています。"])[0] @ ngrams(["花子は猫を二匹飼っています。"])[0] > 0.3
    assert ngrams([]).shape == (0, 1024)
    assert np.linalg.norm(ngrams(["Ana bakes.", "...", ""]), axis=1).round(6).tolist() == [1, 1, 0]
    assert set(EMBEDDERS) == {"minilm", "ngrams"}
