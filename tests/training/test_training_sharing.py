"""Sharing: what is saved comes back equal, and nothing is ever unpickled."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from tiny import beta_vae, cci_vae

from percepts.core.errors import CheckpointError
from percepts.factors.beta_vae import BetaVAE
from percepts.training.sharing import CONFIG, WEIGHTS, from_pretrained, save_pretrained


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_pretrained(beta_vae().build(), tmp_path / "model", {"data": "bars", "seed": 7})


def test_round_trip(tmp_path: Path):
    model = cci_vae().build()
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    image = torch.rand(2, 1, 8, 8)
    assert again.config == model.config
    assert torch.equal(again.encode(image).mean, model.encode(image).mean)
    assert not again.training


def test_a_path_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(*words, **settings):
        raise ConnectionError("no network")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match="there is no folder 'pretrained/nothing' here, and the Hub gave"):
        from_pretrained("pretrained/nothing")


def test_the_card_says_what_it_was_told(saved: Path):
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: percepts")
    assert "**data**: bars" in card
    assert '"beta": 2.0' in card


def test_saving_again_replaces_and_other_folders_are_refused(saved: Path, tmp_path: Path):
    save_pretrained(cci_vae().build(), saved)
    assert type(from_pretrained(saved)).__name__ == "CCIVAE"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(CheckpointError, match="holds other files"):
        save_pretrained(cci_vae().build(), tmp_path / "other")


def test_a_pickle_is_refused_unread(saved: Path, tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    (saved / WEIGHTS).unlink()
    (saved / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="can run code and are never read"):
        from_pretrained(saved)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format=99), r"has format 99.*Try: a newer percepts"),
        (lambda data: data.pop("model"), "describes no model"),
        (
            lambda data: data["model"].update(latent_sizes=4),
            "unknown key 'model.latent_sizes', did you mean 'latent_size'",
        ),
        (lambda data: data["model"].update(type="BetaVAEE"), "did you mean 'BetaVAE'"),
        (lambda data: data["model"].update(latent_size=4), "weights of another model"),
    ],
)
def test_files_that_do_not_fit_are_explained(saved: Path, change, message):
    data = json.loads((saved / CONFIG).read_text())
    change(data)
    (saved / CONFIG).write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=message):
        from_pretrained(saved)


def test_damaged_and_missing_files_are_explained(saved: Path, tmp_path: Path):
    (saved / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="cannot read weights"):
        from_pretrained(saved)
    (saved / CONFIG).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        from_pretrained(saved)
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        from_pretrained(tmp_path / "nothing")


def test_the_hub_mixin_writes_the_same_files(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    from percepts.training.hub import HubMixin

    class SharedBetaVAE(HubMixin, BetaVAE):
        pass

    model = SharedBetaVAE(beta_vae())
    model.save_pretrained(tmp_path / "shared")
    again = SharedBetaVAE.from_pretrained(str(tmp_path / "shared"))
    image = torch.rand(2, 1, 8, 8)
    assert torch.equal(again.encode(image).mean, model.encode(image).mean)
    assert (tmp_path / "shared" / WEIGHTS).is_file()
