"""Feature flags in Azure App Configuration: read by the app, seeded and switched by operators.

What this module does because of how the SDK behaves, each proven by a test in `tests/emulators/`:

- The provider works on a thread. Its asynchronous `load` blocks the event loop for up to five seconds when it
  fails, and parsing costs two milliseconds a time that no request should pay.
- It watches the flags' page etags: one request when nothing changed, as with a sentinel key, but a flip in the portal
  needs no second step that could be forgotten.
- After a failure it waits up to ten minutes before it asks again, unless its refresh interval is short: it is one
  second here, and the caller's own interval decides.
- `load` and `refresh` raise nearly anything (`JSONDecodeError` for an HTML error page, `RuntimeError` while backing
  off): all of it is `FlagsUnavailable`.
- The SDK adds empty fields to every flag it reads (`"client_filters": null`); they are taken away again.
- It keeps the old flags when the last one is deleted, and turns a flag that is not JSON into an empty entry, which is
  left out here.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from azure.appconfiguration import AzureAppConfigurationClient, ConfigurationSetting
from azure.appconfiguration.provider import AzureAppConfigurationProvider, load
from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

from shared.adapters.azure_credential import blocking_azure_credential
from shared.adapters.flags.port import FlagsUnavailable
from shared.adapters.flags.switching import switched
from shared.settings import Settings

KEY_PREFIX = ".appconfig.featureflag/"
CONTENT_TYPE = "application/vnd.microsoft.appconfig.ff+json;charset=utf-8"
SWITCH_ATTEMPTS = 5


class AppConfigurationFlags:
    """The flag source on App Configuration.

    Give either `connection_string` (an emulator) or `endpoint` with `credential`, a function that makes a token
    credential (production). `timeout_seconds` bounds one request.
    """

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        timeout_seconds: float = 3.0,
    ) -> None:
        _check_connection(connection_string, endpoint, credential)
        self._connection_string, self._endpoint, self._make_credential = connection_string, endpoint, credential
        self._timeout = timeout_seconds
        self._provider: AzureAppConfigurationProvider | None = None
        self._credential: Any = None
        self._given_out: list[dict[str, Any]] | None = None
        self._reading: asyncio.Future[list[dict[str, Any]]] | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> AppConfigurationFlags:
        """As the settings say; nothing connects yet."""
        return cls(**_connection(settings))

    async def load(self) -> dict[str, Any] | None:
        """See the port. A caller that gives up stops neither the thread nor the next caller: what the thread read
        counts as given out only when somebody has it."""
        while self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading})  # one thread at a time, however many gave up
        self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
        try:
            flags = await asyncio.shield(self._reading)
        except FlagsUnavailable:
            raise
        except Exception as error:
            raise FlagsUnavailable(f"App Configuration could not be read ({type(error).__name__})") from None
        if flags == self._given_out:
            return None
        self._given_out = flags
        return {"feature_management": {"feature_flags": copy.deepcopy(flags)}}

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _read(self) -> list[dict[str, Any]]:
        with self._lock:
            if self._provider is None:
                self._provider = self._connect()
            else:
                self._provider.refresh()
            loaded = self._provider["feature_management"]["feature_flags"]
            return [_as_written(flag) for flag in loaded if isinstance(flag, dict) and isinstance(flag.get("id"), str)]

    def _connect(self) -> AzureAppConfigurationProvider:
        where: dict[str, Any]
        if self._connection_string is not None:
            where = {"connection_string": self._connection_string}
        else:
            if self._credential is None and self._make_credential is not None:
                self._credential = self._make_credential()
            where = {"endpoint": self._endpoint, "credential": self._credential}
        provider: AzureAppConfigurationProvider = load(
            **where,
            selects=[],
            feature_flag_enabled=True,
            feature_flag_refresh_enabled=True,
            refresh_interval=1,
            replica_discovery_enabled=False,
            startup_timeout=1,
            retry_total=0,
            connection_timeout=self._timeout,
            read_timeout=self._timeout,
        )
        return provider

    def _close(self) -> None:
        with self._lock:
            provider, self._provider = self._provider, None
            credential, self._credential = self._credential, None
            if provider is not None:
                provider.close()
            if credential is not None:
                credential.close()


class FlagStore:
    """Writes flags, for operators. Every method may raise `FlagsUnavailable`. Blocking; close it, or use `with`."""

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        _check_connection(connection_string, endpoint, credential)
        timeouts = {"connection_timeout": timeout_seconds, "read_timeout": timeout_seconds}
        self._credential = None
        if connection_string is not None:
            self._client = AzureAppConfigurationClient.from_connection_string(connection_string, **timeouts)
        else:
            assert credential is not None
            self._credential = credential()
            self._client = AzureAppConfigurationClient(endpoint or "", self._credential, **timeouts)

    @classmethod
    def from_settings(cls, settings: Settings) -> FlagStore:
        return cls(**_connection(settings))

    def seed(self, flags: list[dict[str, Any]]) -> list[str]:
        """Add the flags that are not there yet and touch no other: a deployment never resets the kill switch.

        Returns the names of those that were added.
        """
        added = []
        for flag in flags:
            try:
                _answered(partial(self._client.add_configuration_setting, _setting(flag)))
            except ResourceExistsError:
                continue
            added.append(flag["id"])
        return added

    def replace(self, flags: list[dict[str, Any]]) -> None:
        """Make these the only flags there are."""
        wanted = {KEY_PREFIX + flag["id"] for flag in flags}
        for found in _answered(lambda: list(self._client.list_configuration_settings(key_filter=KEY_PREFIX + "*"))):
            if found.key not in wanted:
                _answered(partial(self._client.delete_configuration_setting, found.key))
        for flag in flags:
            _answered(partial(self._client.set_configuration_setting, _setting(flag)))

    def switch(self, name: str, on: bool, tenant_id: str | None = None) -> None:
        """Switch a flag, for everyone or for one tenant; somebody else's change in between is kept."""
        for _ in range(SWITCH_ATTEMPTS):
            try:
                self._switch_once(name, on, tenant_id)
                return
            except (ResourceModifiedError, ResourceExistsError):
                continue
        raise FlagsUnavailable(f"the flag {name} keeps changing: try again")

    def _switch_once(self, name: str, on: bool, tenant_id: str | None) -> None:
        try:
            found = _answered(lambda: self._client.get_configuration_setting(KEY_PREFIX + name))
        except ResourceNotFoundError:
            found = None
        flags = []
        if found is not None:
            try:
                flags = [_as_written(json.loads(found.value))]
            except (TypeError, ValueError):
                raise FlagsUnavailable(f"the stored flag {name} is not JSON: repair it in the portal") from None
        document = switched({"feature_management": {"feature_flags": flags}}, name, on, tenant_id)
        setting = _setting(document["feature_management"]["feature_flags"][0])
        if found is None:
            _answered(lambda: self._client.add_configuration_setting(setting))
        else:
            setting.etag = found.etag
            _answered(
                lambda: self._client.set_configuration_setting(setting, match_condition=MatchConditions.IfNotModified)
            )

    def close(self) -> None:
        self._client.close()
        if self._credential is not None:
            self._credential.close()

    def __enter__(self) -> FlagStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_written(flag: dict[str, Any]) -> dict[str, Any]:
    """The flag without the empty fields that the SDK adds."""
    written = {name: value for name, value in flag.items() if value is not None}
    if isinstance(conditions := written.get("conditions"), dict):
        written["conditions"] = {name: value for name, value in conditions.items() if value is not None}
        if not written["conditions"]:
            del written["conditions"]
    return written


def _setting(flag: dict[str, Any]) -> ConfigurationSetting:
    return ConfigurationSetting(key=KEY_PREFIX + flag["id"], value=json.dumps(flag), content_type=CONTENT_TYPE)


def _answered(call: Callable[[], Any]) -> Any:
    """The call's result; what the caller deals with passes, any other failure is `FlagsUnavailable`."""
    try:
        return call()
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
        raise
    except (AzureError, ValueError) as error:
        raise FlagsUnavailable(f"App Configuration did not take the change ({type(error).__name__})") from None


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
