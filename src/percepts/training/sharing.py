"""Sharing a trained model: a folder of safetensors weights, JSON configuration and a card. Nothing is ever unpickled.

save_pretrained(model, "my-model", card={"data": "Sprites", "seed": 0})
model = from_pretrained("my-model")
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from percepts import __version__
from percepts.core.config import from_json, to_json, type_name
from percepts.core.errors import CheckpointError, ConfigError
from percepts.core.files import atomic_folder, sha256, write_error, write_json, write_text
from percepts.core.optional import require_package
from percepts.training.catalogue import load_rooms
from percepts.training.checkpoint import load_weights, on_cpu, read_weights

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def save_pretrained(model: Any, folder: Path | str, card: dict[str, Any] | None = None) -> Path:
    """Write `model` as a folder that `from_pretrained` reads; an earlier one there is replaced as a whole.

    Args:
        card: what a user should know (data, seed, scores, licence, limits), written into the card by name.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"'{folder}' is a file", "a new folder")
    if folder.exists() and any(folder.iterdir()):
        others = sorted({path.name for path in folder.iterdir()} - {WEIGHTS, CONFIG, CARD})
        if others or not (folder / CONFIG).exists():
            raise CheckpointError(f"'{folder}' holds other files ({', '.join(others[:3])})", "a new folder")
        read_config_file(folder)
    with atomic_folder(folder) as temporary:
        write_model(model, temporary, card)
    return folder


def write_model(model: Any, folder: Path, card: dict[str, Any] | None = None) -> None:
    """Write the three files of a saved model into `folder`."""
    weights = on_cpu(model.state_dict())
    try:
        safetensors.torch.save_file(weights, folder / WEIGHTS)
    except safetensors.SafetensorError as error:
        raise write_error(folder / WEIGHTS, OSError(str(error))) from error
    about = {"format": FORMAT, "percepts": __version__, "sha256": sha256(folder / WEIGHTS)}
    write_json(folder / CONFIG, {**about, "model": to_json(model.config)})
    write_text(folder / CARD, model_card(model, card or {}))


def from_pretrained(source: Path | str, revision: str | None = None) -> Any:
    """The model in the folder `source`, or in the Hugging Face Hub repository of that name (extra `hub`).

    Returns:
        The model on the CPU in evaluation mode.

    Raises:
        CheckpointError: no such model, damaged files, weights of another model, or only pickled weights.
    """
    folder = locate(source, revision)
    model = read_config(folder).build()
    load_saved(model, folder)
    return model.eval()


def locate(source: Path | str, revision: str | None = None) -> Path:
    """The local folder of a model: `source` itself, or a snapshot of the Hub repository "owner/name".

    Raises:
        CheckpointError: there is neither.
    """
    folder = Path(source)
    if not folder.exists() and str(source).count("/") == 1 and not str(source).startswith((".", "/", "~")):
        hub = require_package("huggingface_hub", extra="hub")
        try:
            return Path(hub.snapshot_download(str(source), revision=revision, allow_patterns=[WEIGHTS, CONFIG, CARD]))
        except Exception as error:  # of many kinds: no network, no such repository, no access
            raise CheckpointError(
                f"there is no folder '{source}' here, and the Hub gave no such repository ({type(error).__name__})",
                "a folder that save_pretrained wrote, or a repository 'owner/name'",
            ) from error
    return folder


def load_saved(model: Any, folder: Path) -> None:
    """Put the weights saved in `folder` into `model`; errors as in `from_pretrained`."""
    if not (folder / WEIGHTS).exists():
        pickles = [path for ending in ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl") for path in folder.glob(ending)]
        if pickles:
            read_weights(pickles[0])
        raise CheckpointError(f"'{folder}' has no {WEIGHTS}", "a folder written by save_pretrained")
    weights = read_weights(folder / WEIGHTS)
    expected = read_config_file(folder).get("sha256")
    if expected is not None and sha256(folder / WEIGHTS) != expected:
        raise CheckpointError(f"'{folder / WEIGHTS}' is damaged", "the file that was saved", "copy the folder again")
    load_weights(model, weights, str(folder))


def read_config(folder: Path) -> Any:
    """The model configuration in `folder`.

    Raises:
        CheckpointError: missing, unreadable, of a newer format or of an unknown model.
    """
    load_rooms()
    try:
        return from_json(read_config_file(folder)["model"], where="model")
    except ConfigError as error:
        raise CheckpointError(f"'{folder / CONFIG}' does not fit this version: {error}") from error


def read_config_file(folder: Path) -> dict[str, Any]:
    """What config.json says, of a format that this version knows."""
    try:
        data = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"'{folder}' has no {CONFIG}", "a folder written by save_pretrained") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"'{folder / CONFIG}' cannot be read ({error})") from error
    if not isinstance(data, dict) or "model" not in data:
        raise CheckpointError(f"'{folder / CONFIG}' describes no model", "a folder written by save_pretrained")
    if data.get("format") != FORMAT:
        raise CheckpointError(
            f"'{folder}' has format {data.get('format')}, written by percepts {data.get('percepts')}",
            f"format {FORMAT}",
            "a newer percepts",
        )
    return data


def model_card(model: Any, card: dict[str, Any]) -> str:
    """A Markdown card with the header that the Hugging Face Hub reads."""
    name = type_name(type(model.config))
    count = sum(parameter.numel() for parameter in model.parameters())
    doc = (type(model).__doc__ or "").strip().splitlines()
    facts = "\n".join(f"- **{key}**: {value}" for key, value in card.items())
    return (
        f"---\nlibrary_name: percepts\ntags: [percepts, representation-learning]\n"
        f"license: {card.get('license', 'apache-2.0')}\n---\n\n"
        f"# {name}\n\n{doc[0] if doc else ''}\n\n{count:,} parameters.\n\n{facts}\n\n"
        f"## Use\n\n```python\nfrom percepts.training.sharing import from_pretrained\n\n"
        f'model = from_pretrained("…")\nposterior = model.encode(images)  # [B, C, H, W] in [0, 1]\n```\n\n'
        f"## Configuration\n\n```json\n{json.dumps(to_json(model.config), indent=2)}\n```\n"
    )
