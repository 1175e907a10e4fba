"""Generates the secrets of embedded mode and stores them beside its data, readable by the owner only."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.adapters.backends import data_folder
from shared.domain.keys import ring_with
from shared.settings import BadSetting, Settings

FILE = "secrets.json"


def with_embedded_secrets(settings: Settings) -> Settings:
    """Return the settings with these secrets. Raises `BadSetting` when they are lost or damaged."""
    if settings.signing_keys and settings.identity_secret:
        return settings
    folder = data_folder(settings)
    path = folder / FILE
    # Data is checked first: another process that is starting writes its secrets before its data.
    used = any((folder / name).exists() for name in ("documents.db", "bus.db", "blobs"))
    if not path.exists():
        if used:
            raise BadSetting(
                f"{path.absolute()} is missing, but the data folder has data that was stored with it. {_RESTORE}"
            )
        try:
            _make_secrets(path)
        except OSError as error:
            what = f"{path.absolute()} cannot be written ({error.strerror})"
            raise BadSetting(f"{what}: free some space or choose another DATA_FOLDER.") from None
    kept = _kept_secrets(path)
    return replace(
        settings,
        signing_keys=settings.signing_keys or _ring(kept),
        identity_secret=settings.identity_secret or kept["identity"],
    )


def rotate_signing_key(settings: Settings) -> None:
    """Add a new signing key in front of the stored ones.

    It signs after the next start of the app. Signatures of the two previous keys stay valid. Raises `BadSetting` when
    the file does not have the keys.
    """
    path = Path(settings.data_folder) / FILE
    if settings.signing_keys:
        raise BadSetting("The signing keys come from SIGNING_KEYS. Add the new key there, before the others.")
    if not settings.embedded:
        raise BadSetting("On Azure, the operations job rotates the key. See docs/operations.md.")
    kept = dict(_kept_secrets(path))
    made = base64.b64encode(secrets.token_bytes(32)).decode()
    kept["ring"] = ring_with(_ring(kept), time.strftime("k%Y%m%dt%H%M%S", time.gmtime()), made)
    temporary = _written_aside(path, kept)
    temporary.replace(path)


def _ring(kept: Mapping[str, Any]) -> str:
    """Return the signing keys as a setting, the current one first."""
    return str(kept.get("ring") or f"local:{kept['signing']}")


_SECRETS = ("signing", "identity")
_RESTORE = (
    "Restore it from a backup, or start with another DATA_FOLDER: without these secrets the app cannot recognize "
    "stored users and keys."
)


def _make_secrets(path: Path) -> None:
    made = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in _SECRETS}
    temporary = _written_aside(path, made)
    try:
        with contextlib.suppress(FileExistsError):  # the first of several processes wins
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _written_aside(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a flushed file beside `path`, readable by its owner only. Return its path."""
    temporary = path.with_name(f".secrets-{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _kept_secrets(path: Path) -> Mapping[str, Any]:
    """Read and check the secrets of a file. Raises `BadSetting` when it is empty, truncated or of another format."""
    try:
        kept: Mapping[str, Any] = json.loads(path.read_bytes())
        if all(len(base64.b64decode(kept[name], validate=True)) == 32 for name in _SECRETS):
            return kept
    except OSError as error:
        raise BadSetting(
            f"{path.absolute()} cannot be read ({error.strerror}). Allow the user that runs the app to read it."
        ) from None
    except (ValueError, TypeError, KeyError):
        pass
    raise BadSetting(f"{path.absolute()} is damaged. {_RESTORE}")
