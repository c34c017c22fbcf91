"""The folder of a model of the Hugging Face hub, from the local cache if it is there."""

from __future__ import annotations

import re
from pathlib import Path

from mergelang.formats.folder import CARRIED
from mergelang.problem import Problem
from mergelang.span import Place

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w(@[\w./-]+)?")
_FILES = [*CARRIED, "*.safetensors", "*.safetensors.index.json", "adapter_config.json"]


def is_hub_name(ref: str) -> bool:
    """True if `ref` may be a hub name: `org/name`, or `org/name@revision`."""
    return _HUB_NAME.fullmatch(ref) is not None


def hub_folder(ref: str, near: str | None, place: Place, complete: bool = True) -> Path:
    """The local folder of the hub's model `ref`; it is downloaded if the cache has none, or with `complete` False.

    `near` is a local path that `ref` may have meant. Raises `not-found` at `place` where the model cannot be had.
    """
    try:
        import huggingface_hub
    except ImportError:
        message = f'There is no folder "{ref}" here, and without huggingface_hub the hub cannot be asked.'
        raise Problem("not-found", message, place, fix=_fix(near, "pip install 'mergelang[hub]'")) from None
    name, _, revision = ref.partition("@")
    # As wide as `Exception`: the hub's library raises errors of its own, which changed between its versions, of
    # requests or httpx, of the system and of its name rules. None of them is ours, and all mean that there is no model.
    for local in (True, False) if complete else (False,):
        try:
            folder = huggingface_hub.snapshot_download(
                name, revision=revision or None, allow_patterns=_FILES, local_files_only=local
            )
            return Path(folder)
        # As wide as `Exception`: the hub's client raises its own, the network's and the file system's faults alike.
        except Exception as error:
            reason = _reason(error)
    message = f'There is no folder "{ref}" here, and the Hugging Face hub did not give it: {reason}.'
    raise Problem("not-found", message, place, fix=_fix(near, f"hf download {name}"))


def _fix(near: str | None, otherwise: str) -> str:
    return f'checkpoint("{near}")' if near else otherwise


def _reason(error: Exception) -> str:
    reasons = {
        "RepositoryNotFoundError": "it has no model of that name that you may see",
        "GatedRepoError": "the model is gated; ask for access on its page, then run `hf auth login`",
        "RevisionNotFoundError": "the model has no such revision",
        "OfflineModeIsEnabled": "offline mode is on (HF_HUB_OFFLINE)",
        "HFValidationError": "the name is none that the hub allows",
    }
    found = next((reasons[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in reasons), None)
    return found or "it could not be reached"
