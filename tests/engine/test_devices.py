"""Which device and which precision a fit runs with."""

from types import SimpleNamespace

import pytest
import torch

from sklearn_exemplar_vae.engine.devices import choose_autocast, choose_device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(params=[False, True])
def has_fast_bfloat16(request, monkeypatch):
    """A processor and a card that either multiply bfloat16 fast, or do not."""
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, question, lambda: request.param, raising=False)
    card = SimpleNamespace(major=8 if request.param else 7)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    return request.param


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "logistic"])
def test_a_precision_asked_for_is_taken(has_fast_bfloat16, likelihood, device):
    assert choose_autocast("float32", likelihood, device) is None
    assert choose_autocast("bfloat16", likelihood, device) is torch.bfloat16


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_zeros_and_ones_train_in_bfloat16_where_it_is_fast(has_fast_bfloat16, device):
    fast = torch.bfloat16 if has_fast_bfloat16 else None
    assert choose_autocast("auto", "bernoulli", device) is fast
    assert choose_autocast("auto", "gaussian", device) is None
    assert choose_autocast("auto", "logistic", device) is None


@pytest.fixture
def have_cards(monkeypatch):
    """Give this machine a number of cards."""

    def have(n_cards):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n_cards > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cards)

    return have


@pytest.mark.parametrize("n_cards", [0, 1])
def test_auto_is_cuda_where_there_is_one(have_cards, n_cards):
    have_cards(n_cards)
    assert choose_device("auto").type == ("cuda" if n_cards else "cpu")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    "name, n_cards, message",
    [
        ("no device", 0, "not a device torch knows"),
        ("meta", 0, "not supported"),
        ("cuda", 0, "no CUDA device"),
        ("cuda:1", 1, "only 1 CUDA devices"),
    ],
)
def test_a_device_that_cannot_be_had_is_named(have_cards, name, n_cards, message):
    have_cards(n_cards)
    with pytest.raises(ValueError, match=message) as raised:
        choose_device(name)
    assert repr(name) in str(raised.value)
