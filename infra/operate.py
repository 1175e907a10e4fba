"""Runs operations inside the network: deploys code, flips flags, makes and rotates keys, runs commands of the app.

The operations job runs this single file in the Functions image. So it uses only Python's standard library, and signs in
as the job's managed identity. Every action can be repeated; none undoes another:

    deploy URL SHA256      fetch a package (GITHUB_TOKEN, if set, opens a private repository), keep it, deploy it
    deploy-kept SHA256     deploy a package that was deployed before: the rollback
    packages               list the stored packages, oldest first, and mark the running one
    seed-flags             create each missing flag; never change an existing one
    switch FLAG on|off [TENANT]    set the flag's own switch and keep its targeting; or switch it for one tenant
    rollout FLAG PERCENT TENANT…   the flag is on for this share of users and for everyone of these tenants
    make-keys              create the keys of the app that do not exist yet; never replace one
    rotate-signing-key     put a new key in front, keep the ones before it for verification
    make-certificate       create a self-signed certificate for the entry of a test environment, if there is none
    run MODULE ARGUMENT…   run `python -m MODULE` of the deployed package, with the settings and identity of the app
    first-key              create the operators' key, store it in the vault, and give the app its hash

No secret is printed. Exit code 0 only when the action is done.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

VAULT = "https://vault.azure.net"
FLAG_STORE = "https://azconfig.io"
STORAGE = "https://storage.azure.com"
TIMEOUT_SECONDS = 60.0
DEPLOY_PATIENCE_SECONDS = 900.0
SIGNING_KEYS_KEPT = 3
PACKAGE_LIMIT_BYTES = 500_000_000

FLAG_PREFIX = ".appconfig.featureflag/"
TARGETING = "Microsoft.Targeting"
FLAG_TYPE = "application/vnd.microsoft.appconfig.ff+json;charset=utf-8"

FIRST_KEY = """
import asyncio, os
from bootstrap import build
from shared.settings import Settings
from shared.adapters.tenant_directory import PLATFORM, save_key
async def main():
    app = build(Settings.from_environment(os.environ))
    try:
        key, scopes = os.environ["FIRST_KEY"], frozenset({"ops"})
        await save_key(app.documents, app.identity, PLATFORM, "first", key, scopes)
    finally:
        await app.close()
asyncio.run(main())
"""


class Failed(Exception):
    """The action failed; the message says what to check."""


class Answer:
    """An HTTP answer: status, headers, body."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the caller: the library would send the credentials to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def expect(answer: Answer, *statuses: int, doing: str) -> Answer:
    """Return the answer if its status is one of `statuses`. Else raise `Failed`, without the body, which can have a
    secret."""
    if answer.status not in statuses:
        raise Failed(f"{doing}: HTTP {answer.status}")
    return answer


class Azure:
    """Client of the services that the job uses, signed in as a managed identity."""

    def __init__(self, environment: Mapping[str, str], pause_seconds: float = 5.0) -> None:
        self.environment = environment
        self.pause_seconds = pause_seconds
        self._tokens: dict[str, str] = {}

    def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None, tries: int = 4
    ) -> Answer:
        """Send a request; repeat it with growing pauses without an answer, or after 429 and 5xx.

        Every request of this program can be repeated. No status raises an error; no answer raises `Failed`.
        """
        pause = self.pause_seconds
        while True:
            tries -= 1
            try:
                request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310
                with _opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
                    return Answer(reply.status, reply.headers, reply.read(PACKAGE_LIMIT_BYTES))
            except urllib.error.HTTPError as error:
                if tries <= 0 or not (error.code == 429 or error.code >= 500):
                    return Answer(error.code, error.headers, error.read())
            except OSError as error:
                if tries <= 0:
                    raise Failed(f"{urllib.parse.urlsplit(url).hostname} does not answer ({error})") from None
            time.sleep(pause)
            pause *= 2

    def get(self, name: str) -> str:
        value = self.environment.get(name, "")
        if not value:
            raise Failed(f"{name} is not set: run this as the operations job")
        return value

    def bearer(self, resource: str) -> dict[str, str]:
        """Return the authorization header for `resource`."""
        if resource not in self._tokens:
            query = {
                "api-version": "2019-08-01",
                "resource": resource,
                "client_id": self.get("OPERATIONS_CLIENT_ID"),
            }
            url = f"{self.get('IDENTITY_ENDPOINT')}?{urllib.parse.urlencode(query)}"
            answer = self.send("GET", url, {"X-IDENTITY-HEADER": self.get("IDENTITY_HEADER")})
            self._tokens[resource] = expect(answer, 200, doing="sign-in").json()["access_token"]
        return {"Authorization": f"Bearer {self._tokens[resource]}"}

    # Key Vault

    def secret(self, vault: str, name: str) -> str | None:
        answer = self.send("GET", f"{vault}secrets/{name}?api-version=7.4", self.bearer(VAULT))
        if expect(answer, 200, 404, doing=f"reading {name}").status == 404:
            return None
        return str(answer.json()["value"])

    def set_secret(self, vault: str, name: str, value: str) -> None:
        body = json.dumps({"value": value, "contentType": "text/plain"}).encode()
        headers = {**self.bearer(VAULT), "Content-Type": "application/json"}
        answer = self.send("PUT", f"{vault}secrets/{name}?api-version=7.4", headers, body)
        if answer.status == 409:
            raise Failed(f"{name} was deleted and can be recovered: recover it, do not make another")
        expect(answer, 200, doing=f"writing {name}")

    # App Configuration

    def _flag_url(self, flag: str) -> str:
        key = urllib.parse.quote(FLAG_PREFIX + flag, safe="")
        return f"{self.get('APP_CONFIGURATION_ENDPOINT')}/kv/{key}?api-version=2023-11-01"

    def flag(self, flag: str) -> tuple[dict[str, Any], dict[str, Any], str] | None:
        """Return the flag, its key-value and its etag; None for a missing flag."""
        answer = self.send("GET", self._flag_url(flag), self.bearer(FLAG_STORE))
        if expect(answer, 200, 404, doing=f"reading the flag {flag}").status == 404:
            return None
        stored = answer.json()
        value = json.loads(stored["value"])
        if not isinstance(value, dict):
            raise Failed(f"the flag {flag} cannot be read: repair it in the portal")
        return value, stored, answer.headers["ETag"]

    def put_flag(self, flag: str, value: dict[str, Any], stored: dict[str, Any], etag: str) -> bool:
        """Write the flag and keep the tags. Return False, without a write, if its etag is not `etag` any more."""
        fields = {"value": json.dumps(value), "content_type": FLAG_TYPE, "tags": stored.get("tags") or {}}
        body = json.dumps(fields).encode()
        kind = {"Content-Type": "application/vnd.microsoft.appconfig.kv+json", "If-Match": etag}
        answer = self.send("PUT", self._flag_url(flag), {**self.bearer(FLAG_STORE), **kind}, body)
        return expect(answer, 200, 412, doing=f"writing the flag {flag}").status == 200

    # Packages

    def _package_headers(self) -> dict[str, str]:
        return {**self.bearer(STORAGE), "x-ms-version": "2023-11-03"}

    def package(self, sha256: str) -> bytes:
        url = f"{self.get('PACKAGES_URL')}/{sha256}.zip"
        answer = self.send("GET", url, self._package_headers())
        if answer.status == 404:
            raise Failed("that package was never deployed here, or is no longer stored: see `packages`")
        package = expect(answer, 200, doing="reading the package").body
        if hashlib.sha256(package).hexdigest() != sha256:
            raise Failed("the stored package has another SHA-256 than the requested one")
        return package

    def keep(self, name: str, content: bytes) -> None:
        headers = {**self._package_headers(), "x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        answer = self.send("PUT", f"{self.get('PACKAGES_URL')}/{name}", headers, content)
        expect(answer, 201, doing="keeping the package")

    def current_package(self) -> str | None:
        """Return the SHA-256 of the package that was deployed last."""
        answer = self.send("GET", f"{self.get('PACKAGES_URL')}/current", self._package_headers())
        found = expect(answer, 200, 404, doing="reading which package runs")
        return found.body.decode() if found.status == 200 else None

    def packages(self) -> list[tuple[str, str]]:
        """Return (created, SHA-256) of every stored package, oldest first."""
        url = f"{self.get('PACKAGES_URL')}?restype=container&comp=list"
        text = expect(self.send("GET", url, self._package_headers()), 200, doing="listing packages").body.decode()
        names = re.findall(r"<Name>([0-9a-f]{64})\.zip</Name>.*?<Creation-Time>([^<]*)</Creation-Time>", text, re.S)
        stamped = [(time.strptime(created, "%a, %d %b %Y %H:%M:%S GMT"), created, name) for name, created in names]
        return [(created, name) for _, created, name in sorted(stamped)]

    # The app

    def manager(self) -> str:
        return self.get("RESOURCE_MANAGER").rstrip("/")

    def publish(self, package: bytes) -> None:
        """Deploy the package to the app and wait until it runs."""
        scm, manager = self.get("APP_SCM_URL"), f"{self.manager()}/"
        headers = {**self.bearer(manager), "Content-Type": "application/zip"}
        url = f"{scm}/api/publish?RemoteBuild=false&Deployer=operations"
        deployment = (
            expect(self.send("POST", url, headers, package), 200, 202, doing="deploying").body.decode().strip(' "')
        )
        give_up_at = time.monotonic() + DEPLOY_PATIENCE_SECONDS
        while time.monotonic() < give_up_at:
            answer = self.send("GET", f"{scm}/api/deployments/{deployment or 'latest'}", self.bearer(manager))
            status = answer.json().get("status") if answer.status == 200 else None
            if status == 4:
                return
            if status in (-1, 3, 5, 6):
                raise Failed(f"the app refused the package (deployment status {status})")
            time.sleep(self.pause_seconds)
        raise Failed("the deployment did not end in time; the app runs the previous package, or soon the new one")

    def read_keys_again(self) -> bool:
        """Have the app resolve its references to the vault now. Return whether it accepted the request."""
        url = f"{self.manager()}{self.get('APP_ID')}/config/configreferences/appsettings/refresh?api-version=2024-11-01"
        answer = self.send("POST", url, {**self.bearer(f"{self.manager()}/"), "Content-Length": "0"})
        return answer.status in (200, 202, 204)

    def app_settings(self) -> dict[str, str]:
        """Return the app's settings, with references to the vault resolved."""
        url = f"{self.manager()}{self.get('APP_ID')}/config/appsettings/list?api-version=2024-11-01"
        answer = self.send("POST", url, {**self.bearer(f"{self.manager()}/"), "Content-Length": "0"})
        settings = expect(answer, 200, doing="reading the app's settings").json()["properties"]
        reference = re.compile(r"@Microsoft\.KeyVault\(SecretUri=(.*/)secrets/([^/)]+)\)")
        for name, value in settings.items():
            if match := reference.fullmatch(value):
                found = self.secret(match[1], match[2])
                if found is None:
                    raise Failed(f"{match[2]} is not in the vault: run make-keys first")
                settings[name] = found
        return dict(settings)


# The actions


def deploy(azure: Azure, url: str, sha256: str) -> None:
    package = fetch(azure, url)
    if hashlib.sha256(package).hexdigest() != sha256:
        package = inner_package(package, sha256)
    azure.keep(f"{sha256}.zip", package)
    _publish(azure, sha256, package)


def _publish(azure: Azure, sha256: str, package: bytes) -> None:
    azure.publish(package)
    azure.keep("current", sha256.encode())
    print(f"deployed {sha256}")


def fetch(azure: Azure, url: str) -> bytes:
    """Download a URL. Only the first host gets the token."""
    token = azure.environment.get("GITHUB_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = azure.send("GET", url, headers)
    for _ in range(5):
        if answer.status not in (301, 302, 303, 307, 308):
            break
        url = urllib.parse.urljoin(url, answer.headers["Location"])
        answer = azure.send("GET", url)
    return expect(answer, 200, doing="fetching the package").body


def inner_package(artifact: bytes, sha256: str) -> bytes:
    """Return the package in a build artifact, which GitHub wraps into another zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            for name in archive.namelist():
                content = archive.read(name)
                if hashlib.sha256(content).hexdigest() == sha256:
                    return content
    except zipfile.BadZipFile:
        pass
    raise Failed("the download has another SHA-256 than the requested package: nothing was deployed")


def deploy_kept(azure: Azure, sha256: str) -> None:
    _publish(azure, sha256, azure.package(sha256))


def packages(azure: Azure) -> None:
    current = azure.current_package()
    for created, sha256 in azure.packages():
        print(created, sha256, "runs" if sha256 == current else "")


def seed_flags(azure: Azure) -> None:
    _run_in_package(azure, ["-m", "commands.seed_flags"], as_operations=True)


def switch(azure: Azure, flag: str, state: str, tenant: str = "") -> None:
    """Switch a flag. Uses only the flag store, because it must work when little else does."""
    if state not in ("on", "off"):
        raise Failed("the state must be on or off")
    on = state == "on"
    change_flag(azure, flag, lambda value: for_tenant(value, tenant, on) if tenant else {"enabled": on})
    print(f"{flag} is {state}" + (f" for {tenant}" if tenant else ""))


def for_tenant(flag: dict[str, Any], tenant: str, on: bool) -> dict[str, Any]:
    """Return the flag's conditions with the tenant's group excluded or no longer excluded. Others are not affected.

    Does the same as `shared/adapters/flags/switching.py`; a test compares both.
    """
    conditions = flag.get("conditions") or {}
    try:
        filters = [dict(each) for each in conditions.get("client_filters") or []]
        targeting = next((each for each in filters if each.get("name") == TARGETING), None)
        audience = dict(((targeting or {}).get("parameters") or {}).get("Audience") or {})
        exclusion = dict(audience.pop("Exclusion", None) or {})
        groups = [group for group in exclusion.get("Groups") or () if group != tenant]
    except (AttributeError, TypeError, ValueError):
        raise Failed("the conditions of the flag cannot be read: repair them in the portal") from None
    groups += [] if on else [tenant]
    exclusion["Groups"] = groups
    if targeting is None and on:
        return {}
    if targeting is None:
        targeting, audience = {"name": TARGETING}, {"DefaultRolloutPercentage": 100}
        filters.append(targeting)
    if groups or exclusion.get("Users"):
        audience["Exclusion"] = exclusion
    targeting["parameters"] = {**(targeting.get("parameters") or {}), "Audience": audience}
    if audience == {"DefaultRolloutPercentage": 100}:
        filters.remove(targeting)
    return {"conditions": {**conditions, "client_filters": filters}}


def rollout(azure: Azure, flag: str, percent: str, *tenants: str) -> None:
    if not (percent.isdigit() and int(percent) <= 100):
        raise Failed("PERCENT must be a whole number from 0 to 100")
    groups = [{"Name": tenant, "RolloutPercentage": 100} for tenant in tenants]
    audience = {"Users": [], "Groups": groups, "DefaultRolloutPercentage": int(percent)}
    targeting = {"name": TARGETING, "parameters": {"Audience": audience}}
    change_flag(azure, flag, lambda _: {"conditions": {"client_filters": [targeting]}})
    print(f"{flag}: {percent} % of users and all of {len(tenants)} tenants, wherever it is switched on")


def change_flag(azure: Azure, flag: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change only the fields that `change` returns. Concurrent changes of other fields are kept."""
    for _ in range(5):
        found = azure.flag(flag)
        if found is None:
            raise Failed(f"there is no flag {flag}: run seed-flags first")
        value, stored, etag = found
        if azure.put_flag(flag, {**value, **change(value)}, stored, etag):
            return
    raise Failed(f"another program keeps changing {flag}: try again")


def make_keys(azure: Azure) -> None:
    vault = azure.get("APP_VAULT_URI")
    for name, made in (("signing-keys", f"{_key_id()}:{_key()}"), ("identity-secret", _key())):
        if azure.secret(vault, name) is None:
            azure.set_secret(vault, name, made)
            print(f"{name}: created")
        else:
            print(f"{name}: exists already, unchanged")
    tell_app(azure)


def tell_app(azure: Azure) -> None:
    """Have the app resolve its references: one that was written before its secret stays unresolved until then."""
    told = azure.read_keys_again()
    print("the app reloads its keys now" if told else "the app did not reload its keys: restart it, or wait up to 24 h")


def rotate_signing_key(azure: Azure) -> None:
    vault = azure.get("APP_VAULT_URI")
    held = azure.secret(vault, "signing-keys")
    if held is None:
        raise Failed("there is no signing key to rotate: run make-keys first")
    azure.set_secret(vault, "signing-keys", rotated(held, _key_id(), _key()))
    print("signing-keys: a new key signs; signatures of the earlier keys stay valid")
    tell_app(azure)


def rotated(held: str, key_id: str, key: str) -> str:
    """Return the ring with a new key in front, without the oldest beyond `SIGNING_KEYS_KEPT`.

    Signatures name their key by one byte of the id's hash. So the new id gets a number if another key has that byte.
    """
    ring = [part for part in held.split(",") if part.strip()][: SIGNING_KEYS_KEPT - 1]
    taken = {_tag(part.split(":", 1)[0].strip()) for part in ring}
    free = next(each for each in (key_id, *(f"{key_id}-{n}" for n in range(1, 256))) if _tag(each) not in taken)
    return ",".join([f"{free}:{key}", *ring])


def _tag(key_id: str) -> int:
    """Return a key's tag as `KeyRing` does (`shared/domain/keys.py`)."""
    return hashlib.blake2b(key_id.encode(), digest_size=4).digest()[0]


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _key_id() -> str:
    return time.strftime("k%Y%m%dt%H%M%S", time.gmtime())


def make_certificate(azure: Azure) -> None:
    vault, name, host = azure.get("ENTRY_VAULT_URI"), azure.get("ENTRY_CERTIFICATE"), azure.get("ENTRY_HOST")
    url = f"{vault}certificates/{name}"
    answer = azure.send("GET", f"{url}?api-version=7.4", azure.bearer(VAULT))
    if expect(answer, 200, 404, doing="reading the certificate").status == 200:
        print(f"{name}: exists already, unchanged")
        return
    policy = {
        "issuer": {"name": "Self"},
        "key_props": {"exportable": True, "kty": "RSA", "key_size": 3072, "reuse_key": False},
        "secret_props": {"contentType": "application/x-pkcs12"},
        "x509_props": {"subject": "CN=video-feed", "sans": {"dns_names": [host]}, "validity_months": 12},
        "lifetime_actions": [{"trigger": {"lifetime_percentage": 80}, "action": {"action_type": "AutoRenew"}}],
    }
    headers = {**azure.bearer(VAULT), "Content-Type": "application/json"}
    body = json.dumps({"policy": policy}).encode()
    expect(azure.send("POST", f"{url}/create?api-version=7.4", headers, body), 202, doing="making the certificate")
    for _ in range(24):
        answer = azure.send("GET", f"{url}/pending?api-version=7.4", azure.bearer(VAULT))
        state = expect(answer, 200, doing="making the certificate").json()["status"]
        if state == "completed":
            print(f"{name}: created for {host}, self-signed")
            return
        time.sleep(azure.pause_seconds)
    raise Failed("the certificate is not ready yet: run this again later")


def run(azure: Azure, *command: str) -> None:
    if not command:
        raise Failed("name a module of the app, for example: run commands.replay_dead_letters list")
    if "--content" in command:
        raise Failed("the content of events must not get into a log: run this from the peered network")
    _run_in_package(azure, ["-m", *command])


def first_key(azure: Azure) -> None:
    vault = azure.get("APP_VAULT_URI")
    key = azure.secret(vault, "first-operators-key")
    if key is None:
        key = secrets.token_urlsafe(32)
        azure.set_secret(vault, "first-operators-key", key)
    _run_in_package(azure, ["-c", FIRST_KEY], extra={"FIRST_KEY": key})
    print("the operators' key is in the vault as first-operators-key")


def _run_in_package(
    azure: Azure, arguments: list[str], *, extra: Mapping[str, str] | None = None, as_operations: bool = False
) -> None:
    """Run Python in the app's current package, with its settings and dependencies, and its identity or the job's."""
    current = azure.current_package()
    if current is None:
        raise Failed("no package was deployed yet")
    identity = azure.get("OPERATIONS_CLIENT_ID" if as_operations else "APP_CLIENT_ID")
    environment = {**os.environ, **azure.environment, **azure.app_settings(), **(extra or {})}
    environment["AZURE_CLIENT_ID"] = identity
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(azure.package(current))) as archive:
            archive.extractall(folder)
        environment["PYTHONPATH"] = os.path.join(folder, ".python_packages", "lib", "site-packages")
        ended = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, check=False)  # noqa: S603
    if ended.returncode:
        raise Failed(f"the command ended with {ended.returncode}")


ACTIONS: dict[str, Callable[..., None]] = {
    "deploy": deploy,
    "deploy-kept": deploy_kept,
    "packages": packages,
    "seed-flags": seed_flags,
    "switch": switch,
    "rollout": rollout,
    "make-keys": make_keys,
    "rotate-signing-key": rotate_signing_key,
    "make-certificate": make_certificate,
    "run": run,
    "first-key": first_key,
}


def main(arguments: list[str], environment: Mapping[str, str], pause_seconds: float = 5.0) -> int:
    if not arguments or arguments[0] not in ACTIONS:
        print(__doc__)
        return 0 if arguments in ([], ["help"]) else 2
    action, azure = ACTIONS[arguments[0]], Azure(environment, pause_seconds)
    try:
        inspect.signature(action).bind(azure, *arguments[1:])
    except TypeError:
        print(f"{arguments[0]}: wrong number of arguments\n{__doc__}")
        return 2
    try:
        action(azure, *arguments[1:])
    except Failed as error:
        print(f"{arguments[0]} failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
