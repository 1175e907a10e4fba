"""Nightly: deletes files of imported history that are too old, and removes lines of erased users from the others.

The storage account's lifecycle rule uses the age of a file, but these files are written long after their day. Tenants
without a recent import are skipped.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Mapping

import orjson

from events.erasures import erasures
from events.history_parts import day_prefix
from events.sample import is_sample_due
from shared.adapters.blobs.port import SAMPLES, Blobs
from shared.adapters.documents.port import DAY_SECONDS, TENANTS, DocumentStore
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.history import JOB_KIND, MAX_AGE_DAYS
from shared.domain.keys import Identity

NIGHTS = 3
"""How many nights of erasures to apply, in case a sweep was missed."""
MISSED_DAYS = 14
"""How many days after its due day a file is still searched for."""
_USER = re.compile(rb'"user":"([0-9a-f]{32})"')


async def sweep_history(
    blobs: Blobs, documents: DocumentStore, tenants: TenantDirectory, identity: Identity, now: float
) -> int:
    """Delete and rewrite files that are due; return how many. `now` is in seconds since the epoch. Raises `BlobsError`
    or `StoreError`; a later sweep continues."""
    swept, today = 0, int(now // DAY_SECONDS)
    for tenant_id in tenants.ids():
        jobs = await documents.query(TENANTS, tenant_id, id_prefix=f"{JOB_KIND}:", limit=1)
        if not jobs.documents:
            continue
        erased = {
            identity.archive_pseudonym(user_key).encode(): at
            for user_key, at in (await erasures(documents, tenant_id)).items()
            if at > now - NIGHTS * DAY_SECONDS
        }
        for day in range(today - MAX_AGE_DAYS - MISSED_DAYS, today + 1):
            async for blob in blobs.list(SAMPLES, day_prefix(tenant_id, day)):
                swept += await _sweep(blobs, blob.name, erased, now)
    return swept


async def _sweep(blobs: Blobs, name: str, erased: Mapping[bytes, float], now: float) -> bool:
    if is_sample_due(name, now):
        return await blobs.delete(SAMPLES, name)
    content = await blobs.read(SAMPLES, name) if erased else None
    left = None if content is None else await asyncio.to_thread(without_erased, content, erased)
    if left is None:
        return False
    await blobs.write(SAMPLES, name, left)
    return True


def without_erased(content: bytes, erased: Mapping[bytes, float]) -> bytes | None:
    """Return a file without the lines of erased users that happened or were sent before the erasure. `erased`:
    pseudonym → time in seconds since the epoch. None if there are no such lines."""
    lines = gzip.decompress(content).splitlines(keepends=True)
    left = [line for line in lines if not _is_erased(line, erased)]
    return None if len(left) == len(lines) else gzip.compress(b"".join(left), 6, mtime=0)


def _is_erased(line: bytes, erased: Mapping[bytes, float]) -> bool:
    named = _USER.search(line)
    at = None if named is None else erased.get(named[1])
    if at is None:
        return False
    told = orjson.loads(line)
    return bool(min(told["timestamp"], told["acceptedAt"]) <= at * 1000)
