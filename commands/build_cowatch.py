"""`python -m commands.build_cowatch [TENANT …]`: builds co-watch tables now, for all tenants or those named."""

from __future__ import annotations

import asyncio
import os
import sys

import bootstrap
from shared.adapters.blobs.port import BlobsError
from shared.adapters.documents.port import StoreError
from shared.settings import BadSetting, Settings


async def run(tenant_ids: list[str]) -> None:
    """Build and print a line for each tenant. Raises `BadSetting`, `BlobsError`, `StoreError`."""
    app = bootstrap.build(Settings.from_environment(os.environ))
    try:
        await app.start()
        known = app.tenants.ids()
        unknown = [tenant_id for tenant_id in tenant_ids if tenant_id not in known]
        if unknown:
            raise BadSetting(f"There is no tenant {unknown[0]!r}. Choose one of: {', '.join(known) or 'none'}.")
        for tenant_id in tenant_ids or known:
            built = await app.table_builder.build(tenant_id)
            print(f"{tenant_id}: {'built' if built else 'no table: the archive has no long views'}")
    finally:
        await app.close()


def main() -> int:
    """Run the command. Returns exit code 0, or 2 after a sentence that says what to do."""
    try:
        asyncio.run(run(sys.argv[1:]))
    except (BadSetting, BlobsError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
