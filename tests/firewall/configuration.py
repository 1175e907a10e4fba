"""Translates the policies of a snapshot to an Apache configuration with ModSecurity and the public Core Rule Set.

Each policy gets a virtual host, and one in front of them routes a path to its policy as the gateway does.

Not translated: limits per address, and Microsoft's own rules, which are not public. Where these replace or resemble a
public rule, that one is used instead (`STANDS_FOR`). A public rule missing from the deployed set is off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.infra.default_rule_set import GROUPS
from tests.infra.firewall import Firewall, Policy

REFUSED = "refused by the firewall"
"""The body of a ModSecurity refusal."""
PARANOIA_LEVEL = 2
METHODS = "GET HEAD POST OPTIONS PUT PATCH DELETE"
CRS = Path("/usr/share/modsecurity-crs/rules")
CRS_SETUP = Path("/etc/modsecurity/crs/crs-setup.conf")
UNICODE = Path("/etc/modsecurity/unicode.mapping")
MODULES = Path("/etc/apache2/mods-available")
FILES = ("901", "911", "913", "92", "93", "94")
"""The parts of the set that inspect requests and apply to any application."""
STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "942110": ("942110", "99031001"),
    "942440": ("942440", "99031002"),
    "942150": ("942150", "99031003"),
    "942260": ("942260", "99031004"),
    "913100": ("bad bots",),
    "913101": ("300300",),
    "913102": ("300700",),
    "913110": ("bad bots",),
    "913120": ("bad bots",),
}
"""Public rule → the deployed rules that do the same. It is off when all of them are."""
TRANSFORMS = {"UrlDecode": "t:urlDecodeUni", "Lowercase": "t:lowercase"}
OPERATORS = {"Regex": "@rx", "BeginsWith": "@beginsWith", "Contains": "@contains", "Equal": "@streq"}
TARGETS = {"RequestArgNames": "ARGS", "RequestHeaderNames": "REQUEST_HEADERS"}
LARGEST_BODY = 128 * 1024 * 1024
_ID = re.compile(r"\bid:'?(\d{6})\b")


def rule_files() -> list[Path]:
    """Return the public rule files, in loading order."""
    return [path for path in sorted(CRS.glob("REQUEST-9*.conf")) if path.name[8:].startswith(FILES)]


def public_rules(files: Iterable[Path]) -> list[str]:
    """Return ids of the inspecting rules; those below 100 of a group only control the flow."""
    found = (id for path in files if "-949-" not in path.name for id in _ID.findall(path.read_text()))
    return sorted({id for id in found if 911_000 <= int(id) < 949_000 and int(id) % 1000 >= 100})


def switched_off(policy: Policy, public: Iterable[str]) -> list[str]:
    """Return public rules that refuse nothing under this policy: disabled by it, or missing from the deployed set."""
    known = {rule for rules in GROUPS.values() for rule in rules.split()}
    silent = policy.silent()
    off = []
    for rule in public:
        deployed = STANDS_FOR.get(rule, (rule,) if rule in known else ())
        if not deployed or silent.issuperset(deployed):
            off.append(rule)
    return off


def directives(policy: Policy, public: Iterable[str]) -> Iterator[str]:
    """Return the ModSecurity directives of one policy."""
    inspects = bool(policy.setting("requestBodyCheck"))
    yield f"SecRuleEngine {'On' if policy.refuses else 'DetectionOnly'}"
    yield f"SecRequestBodyAccess {'On' if inspects else 'Off'}"
    yield "SecResponseBodyAccess Off"
    limit = int(policy.setting("requestBodyInspectLimitInKB") or 0) * 1024 or LARGEST_BODY
    yield f"SecRequestBodyLimit {limit}"
    yield f"SecRequestBodyNoFilesLimit {limit}"
    yield "SecRequestBodyLimitAction ProcessPartial"
    yield "SecAuditEngine Off"
    for number, rule in enumerate(policy.custom_rules):
        yield from _custom_rule(rule, 10_001 + number)
    yield (
        'SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z.-]+[+])?json" '
        '"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"'
    )
    if inspects and "200002" not in policy.silent():
        yield (
            'SecRule REQBODY_ERROR "!@eq 0" '
            "\"id:200002,phase:2,t:none,log,deny,status:403,msg:'Failed to parse request body'\""
        )
    for number, exclusion in enumerate(policy.exclusions):
        yield _exclusion(exclusion, 10_101 + number)
    yield f"Include {CRS_SETUP}"
    yield f'SecAction "id:900000,phase:1,nolog,pass,t:none,setvar:tx.paranoia_level={PARANOIA_LEVEL}"'
    yield f"SecAction \"id:900200,phase:1,nolog,pass,t:none,setvar:'tx.allowed_methods={METHODS}'\""
    for path in rule_files():
        yield f"Include {path}"
    for rule in switched_off(policy, public):
        yield f"SecRuleRemoveById {rule}"


def _custom_rule(rule: Mapping[str, object], id: int) -> Iterator[str]:
    """Return a custom rule that refuses by content. Rate limits are left to the gateway."""
    if rule["ruleType"] != "MatchRule":
        return
    conditions = rule["matchConditions"]
    assert isinstance(conditions, list)
    (condition,) = conditions
    (variable,) = condition["matchVariables"]
    assert (variable["variableName"], rule["action"]) == ("RequestUri", "Block"), rule
    negated = "!" if condition.get("negationConditon") else ""
    operator = f"{negated}{OPERATORS[condition['operator']]} {'|'.join(condition['matchValues'])}"
    transforms = ",".join(TRANSFORMS[each] for each in condition.get("transforms", []))
    actions = f"phase:1,t:none,{transforms},deny,status:403,msg:'{rule['name']}'"
    yield f'SecRule REQUEST_URI "{operator}" "id:{id},{actions}"'


def _exclusion(exclusion: Mapping[str, str], id: int) -> str:
    """Return the directives of an exclusion. Raises KeyError for an unknown kind."""
    assert exclusion["selectorMatchOperator"] == "Equals", exclusion
    target = f"{TARGETS[exclusion['matchVariable']]}:{exclusion['selector']}"
    return f'SecAction "id:{id},phase:1,t:none,nolog,pass,ctl:ruleRemoveTargetByTag=OWASP_CRS;{target}"'


def apache(
    folder: Path, firewall: Firewall, policies: Mapping[str, Policy], ports: Mapping[str, int], app_port: int, user: str
) -> str:
    """Return the whole configuration. `ports` are those of the policies by name, and of the entry under an empty
    name."""
    public = public_rules(rule_files())
    lines = [
        f"ServerRoot {folder}",
        "ServerName localhost",
        f"PidFile {folder}/httpd.pid",
        f"ErrorLog {folder}/error.log",
        *([f"User {user}", f"Group {user}"] if user else []),
        *(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in ("mpm_event", "authz_core")),
        *(f"Include {MODULES}/{name}.load" for name in ("proxy", "proxy_http", "unique_id", "security2")),
        f"SecDataDir {folder}/data",
        f"SecTmpDir {folder}/data",
        f"SecUnicodeMapFile {UNICODE} 20127",
        "LimitRequestLine 16384",
        "LimitRequestFieldSize 16384",
        "KeepAliveTimeout 60",
        "MaxKeepAliveRequests 0",
        *(f"Listen 127.0.0.1:{port}" for port in ports.values()),
        *_host(ports[""], [f'CustomLog {folder}/calls.log "%m %U"', *_routes(firewall, ports)]),
    ]
    for name, policy in policies.items():
        log = f"ErrorLog {folder}/{name}.log"
        onward = f"ProxyPass / http://127.0.0.1:{app_port}/ nocanon"
        lines += _host(ports[name], [log, f'ErrorDocument 403 "{REFUSED}"', onward, *directives(policy, public)])
    return "\n".join(lines) + "\n"


def _host(port: int, lines: Iterable[str]) -> list[str]:
    inside = ["AllowEncodedSlashes NoDecode", "ProxyPreserveHost On", *lines]
    return [f"<VirtualHost 127.0.0.1:{port}>", *(f"  {line}" for line in inside), "</VirtualHost>"]


def _routes(firewall: Firewall, ports: Mapping[str, int]) -> Iterator[str]:
    """Return the path map: the first matching pattern applies."""
    for rule in firewall.path_rules:
        port = ports[firewall.policies[str(rule.policy_id)].name]
        for pattern in rule.patterns:
            prefix = re.escape(pattern.removesuffix("*")) + ("" if pattern.endswith("*") else "$")
            yield f'ProxyPassMatch "(?i)^(?={prefix})" http://127.0.0.1:{port} nocanon'
    yield f"ProxyPass / http://127.0.0.1:{ports[firewall.policies[str(firewall.default_id)].name]}/ nocanon"
