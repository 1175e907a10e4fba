"""Feature flags in Azure App Configuration: read by the app, seeded and switched by operators.

Flags are read on their own thread: a token request or a connection that hangs must delay neither the event loop nor the
next attempt. A thread that exceeds its time is abandoned with its connection and credential, and the next attempt
opens new ones. With page etags, a read without changes is one request without a body.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from shared.adapters.azure_credential import blocking_azure_credential
from shared.adapters.flags.key_values import CONTENT_TYPE, KEY_PREFIX, Changed, Json, KeyValues, OnAnswer
from shared.adapters.flags.port import FlagsUnavailable, UnreadableFlag
from shared.adapters.flags.switching import holds_off, switched
from shared.settings import Settings

T = TypeVar("T")
SWITCH_ATTEMPTS = 5
MOST_LEFT_BEHIND = 16
"""Limit of abandoned threads. At the limit, no read begins until one ends."""


class AppConfigurationFlags:
    """The flag source on App Configuration.

    Needs either `connection_string` (an emulator) or `endpoint` with `credential`, a function that makes a token
    credential (production). `timeout_seconds` limits each wait for the network, `patience_seconds` one whole read
    with its token. `on_answer` gets the headers of every well-formed answer, on any thread.
    """

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        timeout_seconds: float = 3.0,
        patience_seconds: float = 6.0,
        on_answer: OnAnswer | None = None,
    ) -> None:
        _check_connection(connection_string, endpoint, credential)
        self._connect = lambda: KeyValues(
            connection_string=connection_string,
            endpoint=endpoint,
            credential=credential,
            timeout_seconds=timeout_seconds,
            retries=0,
            on_answer=on_answer,
        )
        self._patience = patience_seconds
        self._connection = _Connection(self._connect)
        self._given_out: list[Any] | None = None
        self._reading: asyncio.Future[list[Any]] | None = None
        self._left_behind: list[threading.Thread] = []

    @classmethod
    def from_settings(cls, settings: Settings, on_answer: OnAnswer | None = None) -> AppConfigurationFlags:
        """Build from the settings; nothing connects yet."""
        return cls(**_connection(settings), on_answer=on_answer)

    async def load(self) -> dict[str, Any] | None:
        """See the port. A caller that stops waiting does not end the read; the next caller gets its result."""
        while self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading})  # one read at a time, also after callers stopped waiting
        self._reading = asyncio.ensure_future(self._read())
        self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
        items = await asyncio.shield(self._reading)
        if items == self._given_out:
            return None
        self._given_out = items
        return {"feature_management": {"feature_flags": [_as_flag(item) for item in items]}}

    async def close(self) -> None:
        """See the port."""
        connection, self._connection = self._connection, _Connection(self._connect)
        future, _ = _on_thread(connection.close)
        await asyncio.wait({future}, timeout=self._patience)

    async def _read(self) -> list[Any]:
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= MOST_LEFT_BEHIND:
            raise FlagsUnavailable("every read of App Configuration hangs")
        future, thread = _on_thread(self._connection.read)
        try:
            async with asyncio.timeout(self._patience):
                return await future
        except TimeoutError:
            self._left_behind.append(thread)
            self._connection.left_behind = True
            self._connection = _Connection(self._connect)
            raise FlagsUnavailable("App Configuration did not answer in time") from None
        except FlagsUnavailable:
            raise
        except Exception as error:
            raise FlagsUnavailable(f"App Configuration could not be read ({type(error).__name__})") from None


class _Connection:
    """A client with its credential, connected at the first read. One thread at a time uses it."""

    def __init__(self, connect: Callable[[], KeyValues]) -> None:
        self._connect = connect
        self._key_values: KeyValues | None = None
        self.left_behind = False

    def read(self) -> list[Any]:
        if self._key_values is None:
            self._key_values = self._connect()
        try:
            return self._key_values.flags()
        finally:
            if self.left_behind:
                self.close()

    def close(self) -> None:
        key_values, self._key_values = self._key_values, None
        if key_values is not None:
            key_values.close()


def _on_thread(work: Callable[[], T]) -> tuple[asyncio.Future[T], threading.Thread]:
    """Run `work` on a new daemon thread, which never delays the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, name="flags", daemon=True)
    thread.start()
    return future, thread


def _as_flag(item: Any) -> Any:
    """Return the flag in a key-value, or an `UnreadableFlag`."""
    key = item.get("key") if isinstance(item, dict) else None
    if not isinstance(key, str) or not key.startswith(KEY_PREFIX):
        return UnreadableFlag("", "not_an_object")
    name = key.removeprefix(KEY_PREFIX)
    if not _is_flag_type(item.get("content_type")):
        return UnreadableFlag(name, "content_type")
    value = item.get("value")
    if not isinstance(value, str):
        return UnreadableFlag(name, "not_an_object")
    try:
        flag = orjson.loads(value)
    except orjson.JSONDecodeError:
        return UnreadableFlag(name, "not_json")
    if not isinstance(flag, dict):
        return UnreadableFlag(name, "not_an_object")
    if not isinstance(flag.get("id"), str) or not flag["id"]:
        return UnreadableFlag(name, "no_id")
    return flag


def _is_flag_type(content_type: Any) -> bool:
    wanted = CONTENT_TYPE.partition(";")[0]
    return isinstance(content_type, str) and content_type.partition(";")[0].strip().lower() == wanted


class FlagStore:
    """Writes flags, for operators. Every method can raise `FlagsUnavailable`. Blocking; close it, or use `with`."""

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        timeout_seconds: float = 10.0,
        retries: int = 3,
    ) -> None:
        _check_connection(connection_string, endpoint, credential)
        self._key_values = KeyValues(
            connection_string=connection_string,
            endpoint=endpoint,
            credential=credential,
            timeout_seconds=timeout_seconds,
            retries=retries,
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> FlagStore:
        return cls(**_connection(settings))

    def seed(self, flags: list[dict[str, Any]]) -> list[str]:
        """Add the flags that have no record yet. Existing records stay, so a deployment never resets the kill switch.

        Returns the names of the added flags.
        """
        items = [item for item in self._key_values.flags() if isinstance(item, dict)]
        there = {item.get("key") for item in items}
        there |= {KEY_PREFIX + flag["id"] for item in items if isinstance(flag := _as_flag(item), dict)}
        added = []
        for flag in flags:
            if KEY_PREFIX + flag["id"] in there:
                continue
            with contextlib.suppress(Changed):  # another writer was first
                self._key_values.put(KEY_PREFIX + flag["id"], _fields(flag), etag=None)
                added.append(flag["id"])
        return added

    def replace(self, flags: list[dict[str, Any]]) -> None:
        """Replace all flags by these."""
        wanted = {KEY_PREFIX + flag["id"] for flag in flags}
        for item in self._key_values.flags():
            if item["key"] not in wanted:
                self._key_values.delete(item["key"])
        for flag in flags:
            found = self._key_values.get(KEY_PREFIX + flag["id"])
            self._key_values.put(KEY_PREFIX + flag["id"], _fields(flag), etag=found["etag"] if found else None)

    def switch(self, name: str, on: bool, tenant_id: str | None = None) -> list[str]:
        """Switch a flag, for everyone or for one tenant. Concurrent changes of others are kept.

        Returns the keys of other records that still keep the flag off. Raises `ValueError` for a record that must be
        repaired first.
        """
        for _ in range(SWITCH_ATTEMPTS):
            with contextlib.suppress(Changed):
                written = self._switch_once(name, on, tenant_id)
                others = [item for item in self._key_values.flags() if item["key"] != written]
                return [item["key"] for item in others if holds_off(_as_flag(item), name, tenant_id)]
        raise FlagsUnavailable(f"the flag {name} keeps changing: try again")

    def _switch_once(self, name: str, on: bool, tenant_id: str | None) -> str:
        """Write the record of the flag's own key, else the one that defines it, else a new one. Return its key."""
        key = KEY_PREFIX + name
        found = self._key_values.get(key)
        if found is None:
            with_id = (item for item in self._key_values.flags() if holds(_as_flag(item), name))
            found = next(with_id, None)
        if found is None:
            self._key_values.put(key, _fields(_switched({}, name, on, tenant_id)), etag=None)
            return key
        try:
            flag = orjson.loads(found["value"])
        except (TypeError, orjson.JSONDecodeError):
            flag = None
        if not holds(flag, name):
            raise ValueError(f"the record {found['key']} is not the flag {name}: repair it in the portal")
        fields = {**_fields(_switched(flag, name, on, tenant_id)), "tags": found.get("tags") or {}}
        if _is_flag_type(found.get("content_type")):
            fields["content_type"] = found["content_type"]
        self._key_values.put(found["key"], fields, etag=found["etag"])
        written: str = found["key"]
        return written

    def close(self) -> None:
        self._key_values.close()

    def __enter__(self) -> FlagStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def holds(flag: Any, name: str) -> bool:
    """Whether a record has the id `name`."""
    return isinstance(flag, dict) and flag.get("id") == name


def _switched(flag: Json, name: str, on: bool, tenant_id: str | None) -> Json:
    document = {"feature_management": {"feature_flags": [flag] if flag else []}}
    changed: Json = switched(document, name, on, tenant_id)["feature_management"]["feature_flags"][0]
    return changed


def _fields(flag: dict[str, Any]) -> Json:
    return {"value": orjson.dumps(flag).decode(), "content_type": CONTENT_TYPE}


def _connection(settings: Settings) -> dict[str, Any]:
    return {
        "connection_string": settings.app_configuration_connection_string or None,
        "endpoint": settings.app_configuration_endpoint or None,
        "credential": blocking_azure_credential,
    }


def _check_connection(connection_string: str | None, endpoint: str | None, credential: Any) -> None:
    if (connection_string is None) == (endpoint is None):
        raise ValueError("give either a connection string or an endpoint")
    if endpoint is not None and credential is None:
        raise ValueError("an endpoint needs a credential")
