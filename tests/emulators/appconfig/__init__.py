"""A test server for App Configuration: key-values, feature flags, page etags, signed requests."""

from tests.emulators.appconfig.server import AppConfigurationServer

__all__ = ["AppConfigurationServer"]
