"""`python -m local backup|restore|first-key|rotate-signing-key`: commands that maintain one machine."""

from __future__ import annotations

import argparse
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bootstrap
from local.backup import restore, save
from local.serving import local_settings
from shared.adapters.documents.port import TENANTS, query_all
from shared.adapters.embedded_secrets import rotate_signing_key
from shared.adapters.tenant_directory import KEY_PREFIX, PLATFORM, save_key
from shared.settings import BadSetting

FIRST = "first"


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's subcommands."""
    saving = commands.add_parser("backup", help="save all state in one file, while the app runs")
    saving.add_argument("file", type=Path, help="where to; it must not be there yet")
    saving.set_defaults(run=_save)
    restoring = commands.add_parser("restore", help="put a backup into DATA_FOLDER, which must be empty")
    restoring.add_argument("file", type=Path)
    restoring.set_defaults(run=_restore)
    first = commands.add_parser("first-key", help="make the operators' first key, and print it once")
    first.set_defaults(run=_first_key)
    rotating = commands.add_parser("rotate-signing-key", help="let a new key sign cursors and feed request ids")
    rotating.set_defaults(run=_rotate)


async def _save(arguments: argparse.Namespace) -> None:
    saved = save(local_settings(), arguments.file)
    print(f"{arguments.file}: {saved.size_bytes / 1e6:,.1f} MB, {saved.blobs:,} blobs.")
    if saved.secrets:
        print("The secrets are in it: keep it as safe as the data.")
    else:
        print(
            "The secrets are not in it, since settings give them: keep IDENTITY_SECRET, without which it is worthless."
        )


async def _restore(arguments: argparse.Namespace) -> None:
    settings = local_settings()
    saved_at = datetime.fromtimestamp(restore(settings, arguments.file), UTC)
    print(f"{settings.data_folder} is as it was at {saved_at:%Y-%m-%d %H:%M:%S} UTC. Start the app.")


async def _first_key(arguments: argparse.Namespace) -> None:
    app = bootstrap.build(local_settings())
    try:
        held = await query_all(app.documents, TENANTS, PLATFORM, KEY_PREFIX)
        if any("ops" in document.body.get("scopes", ()) for document in held):
            raise BadSetting(
                "The operators already have a key. Use it to issue more: POST /v1/cms/keys for the tenant _platform."
            )
        key = secrets.token_urlsafe(32)
        await save_key(app.documents, app.identity, PLATFORM, FIRST, key, frozenset({"ops"}))
    finally:
        await app.close()
    print(key)


async def _rotate(arguments: argparse.Namespace) -> None:
    rotate_signing_key(local_settings())
    print("A new key signs after the next start of the app. Signatures of the two previous keys stay valid.")
