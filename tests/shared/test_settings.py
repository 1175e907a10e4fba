from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from shared.settings import SETTINGS, BadSetting, Settings

SECRET = base64.b64encode(b"s" * 32).decode()
AZURE = {
    "DOCUMENT_STORE": "cosmos",
    "BUS": "servicebus",
    "BLOBS": "azure",
    "FLAGS": "appconfig",
    "COSMOS_ENDPOINT": "https://c",
    "ServiceBusConnection__fullyQualifiedNamespace": "sb",
    "BLOB_ENDPOINT": "https://b",
    "APP_CONFIGURATION_ENDPOINT": "https://a",
    "SIGNING_KEYS": f"a:{SECRET}",
    "IDENTITY_SECRET": SECRET,
}


def refusal(environment: Mapping[str, str]) -> str:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environment(environment)
    return str(caught.value)


def test_no_settings_mean_one_machine_and_all_settings_mean_azure() -> None:
    assert Settings.from_environment({}).embedded
    assert not Settings.from_environment(AZURE).embedded


@pytest.mark.parametrize("name", [name for name in AZURE if name not in ("DOCUMENT_STORE", "BUS", "BLOBS", "FLAGS")])
def test_each_missing_setting_on_azure_is_named(name: str) -> None:
    assert name in refusal({key: value for key, value in AZURE.items() if key != name})


def test_endpoint_and_connection_string_together_are_refused() -> None:
    message = refusal({**AZURE, "COSMOS_CONNECTION_STRING": "AccountKey=secret-4711"})
    assert "not both" in message
    assert "4711" not in message


@pytest.mark.parametrize("setting", [s for s in SETTINGS.values() if s.choices], ids=lambda s: s.name)
def test_unknown_choice_is_refused_with_the_known_ones(setting) -> None:  # type: ignore[no-untyped-def]
    message = refusal({setting.name: "oracle"})
    assert all(choice in message for choice in (setting.name, *setting.choices))


@pytest.mark.parametrize("setting", [s for s in SETTINGS.values() if s.maximum is not None], ids=lambda s: s.name)
def test_number_out_of_bounds_or_invalid_is_refused(setting) -> None:  # type: ignore[no-untyped-def]
    for text in ("soon", "nan", "inf", "-1", str(setting.maximum * 2)):
        assert setting.name in refusal({setting.name: text})


def test_blank_means_not_set() -> None:
    assert Settings.from_environment(dict.fromkeys(AZURE, " ")) == Settings()


@pytest.mark.parametrize(("text", "number"), [("", 1), ("3", 3), (" 16 ", 16), ("0", 1), ("17", 1), ("many", 1)])
def test_early_number_is_read_alone_and_never_stops_the_start(text: str, number: int) -> None:
    assert Settings.number_from({"ROLLUP_DRAINERS": text}, "rollup_drainers") == number


def test_each_roll_up_drainer_has_its_own_function() -> None:
    program = "import function_app; print(*(each.get_function_name() for each in function_app.app.get_functions()))"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ROLLUP_DRAINERS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [name for name in told.stdout.split() if name.startswith("roll_up")] == ["roll_up", "roll_up_2", "roll_up_3"]
