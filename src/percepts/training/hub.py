"""The Hugging Face Hub mixin (extra `hub`): percepts models with the Hub's own save, load and push methods.

class SharedBetaVAE(HubMixin, BetaVAE): ...

SharedBetaVAE.from_pretrained("someone/their-model").push_to_hub("me/my-model")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from percepts.core.optional import require_package
from percepts.training.sharing import load_saved, locate, read_config, write_model

require_package("huggingface_hub", extra="hub")

from huggingface_hub import ModelHubMixin  # noqa: E402  (only where the extra is installed)


class HubMixin(ModelHubMixin):
    """Adds `save_pretrained`, `from_pretrained` and `push_to_hub`; the files are those of `training.sharing`."""

    def _save_pretrained(self, save_directory: Path) -> None:
        write_model(self, save_directory)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, revision: str | None = None, **unused: Any) -> Any:
        folder = locate(model_id, revision)
        model: Any = cls(read_config(folder))  # type: ignore[call-arg]
        load_saved(model, folder)
        return model.eval()
