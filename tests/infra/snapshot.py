"""Reads the resources of a deployment snapshot by type and dotted path.

Values known only at deployment stay template expressions: strings in square brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Resource(dict[str, Any]):
    """One resource as the compiler resolved it: id, type, name, apiVersion, properties and other fields."""

    @property
    def type(self) -> str:
        return str(self["type"])

    @property
    def name(self) -> str:
        """The last part of its name: of `account/database/container` the container's."""
        name = str(self["name"])
        return name if name.startswith("[") else name.rsplit("/", 1)[-1]

    @property
    def parent(self) -> str:
        """The name of its parent, or an empty string."""
        return str(self["name"]).rpartition("/")[0].rsplit("/", 1)[-1]

    def at(self, path: str) -> Any:
        """Return the value at a dotted path, or None."""
        value: Any = self
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        return value

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


@dataclass(frozen=True)
class Snapshot:
    """Every resource of one environment's deployment, and its outputs."""

    environment: str
    resources: list[Resource]

    @classmethod
    def of(cls, environment: str, document: dict[str, Any]) -> Snapshot:
        return cls(environment, [Resource(each) for each in document["predictedResources"]])

    def all(self, type_name: str) -> list[Resource]:
        """Return the resources of a type."""
        return [each for each in self.resources if each.type == type_name]

    def one(self, type_name: str, named: str = "") -> Resource:
        """Return the only resource of a type whose name contains a text. Raises ValueError when there is not exactly
        one."""
        (found,) = (each for each in self.all(type_name) if named in each.name)
        return found

    def settings(self) -> dict[str, str]:
        """Return the app settings."""
        return {each["name"]: each["value"] for each in self.one(SITE).at("properties.siteConfig.appSettings")}


SITE = "Microsoft.Web/sites"
BUS = "Microsoft.ServiceBus/namespaces"
WEB_PUBSUB = "Microsoft.SignalRService/webPubSub"
VAULT = "Microsoft.KeyVault/vaults"
STORAGE = "Microsoft.Storage/storageAccounts"
COSMOS = "Microsoft.DocumentDB/databaseAccounts"
ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
FIREWALL = "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies"
RULES = "Microsoft.Network/networkSecurityGroups"
ENDPOINT = "Microsoft.Network/privateEndpoints"


def last(resource_id: str) -> str:
    """Return the name at the end of a resource id, resolved or an expression."""
    return re.split(r"[/']", resource_id.rstrip("')]}"))[-1]


def role_of(assignment: Resource) -> str:
    """Return the id of the role that an assignment gives."""
    return last(str(assignment.at("properties.roleDefinitionId")))


def scope_of(resource: Resource) -> str:
    """Return the id of the resource that an extension resource belongs to."""
    match = re.search(
        r"'(/subscriptions/[^']+)'|^(/subscriptions/.+?)/providers/Microsoft.Authorization", resource["id"]
    )
    return (match[1] or match[2]) if match else ""


def templates(template: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a compiled template and those of its modules, each with the name of its file or deployment."""
    yield name, template
    resources = template.get("resources", {})
    for each in resources.values() if isinstance(resources, dict) else resources:
        inner = each.get("properties", {}).get("template")
        if each.get("type") == "Microsoft.Resources/deployments" and inner:
            yield from templates(inner, str(each["name"]))
