"""Fixtures of the infrastructure tests."""

from __future__ import annotations

import pytest

from tests.infra.compiler import Compiled
from tests.infra.compiler import compiled as compile_once
from tests.infra.snapshot import Snapshot


@pytest.fixture(scope="session")
def compiled() -> Compiled:
    """Output of the official compiler for the Bicep files."""
    found = compile_once()
    assert found.findings == [], "the Bicep files do not compile cleanly"
    return found


@pytest.fixture(scope="session")
def prod(compiled: Compiled) -> Snapshot:
    """Resources of a production deployment. Tests that change it copy it first."""
    return Snapshot.of("prod", compiled.snapshots["prod"])


@pytest.fixture(scope="session")
def dev(compiled: Compiled) -> Snapshot:
    return Snapshot.of("dev", compiled.snapshots["dev"])


@pytest.fixture(scope="session")
def bootstrap(compiled: Compiled) -> Snapshot:
    """Resources of step 1: the group and the identities of the pipeline."""
    return Snapshot.of("bootstrap", compiled.snapshots["bootstrap"])
