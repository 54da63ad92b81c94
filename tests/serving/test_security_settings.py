"""What an operator may get wrong about certificates, tokens and the policy, and is told."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from certificates import AUDIENCE, Authority, Issuer
from facegrid.cli.main import app
from facegrid.domain.access import Permission, Principal
from facegrid.domain.errors import ConfigurationError
from facegrid.serving.local import check_addresses
from facegrid.serving.security import load_policy, open_security
from facegrid.settings import Settings

_ROLES = '[roles]\ngate = ["verify"]\n'
_GRANT = '[[grants]]\nrole = "gate"\nprincipals = ["spiffe://x/gate/*"]\ngalleries = ["border-*"]\n'
_PURPOSES = _ROLES + _GRANT + '[[purposes]]\ngalleries = ["{gallery}"]\nallowed = ["{allowed}"]\n'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Write a policy."""
    path = tmp_path / "policy.toml"
    path.write_text(_ROLES + _GRANT)
    return path


def test_a_policy_is_read(policy: Path) -> None:
    """Patterns match principals and galleries."""
    rights = load_policy(policy).of(Principal("spiffe://x/gate/7"))
    rights.check(Permission.VERIFY, ["border-north"])
    assert not rights.sees("staff")
    assert not load_policy(policy).of(Principal("spiffe://y/gate/7")).grants


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[roles", "is no TOML"),
        (_ROLES, "grants: Field required"),
        ('[roles]\ngate = ["verfy"]\n' + _GRANT, "'verfy': Input should be 'verify'"),
        (_ROLES + _GRANT.replace('"gate"', '"gat"'), "grants.0.role: [roles] has no 'gat'"),
        (_ROLES + _GRANT.replace("galleries", "gallery"), "grants.0.galleries: Field required"),
        (_ROLES + _GRANT + 'group = ["x"]\n', "grants.0.group: Extra inputs are not permitted"),
        (_ROLES + _GRANT.replace('["border-*"]', "[]"), "grants.0.galleries: "),
        (_ROLES + _GRANT.replace('["border-*"]', '"border-*"'), "grants.0.galleries: 'border-*': "),
        (_ROLES + '[[grants]]\nrole = "gate"\ngalleries = ["*"]\n', "name principals or groups"),
        (_ROLES + _GRANT + "[more]\n", "more: Extra inputs are not permitted"),
        (_ROLES + _GRANT + '[[purposes]]\ngalleries = ["*"]\n', "purposes.0.allowed: Field required"),
        (_PURPOSES.format(gallery="", allowed="x"), "purposes.0.galleries.0: '': "),
        (_PURPOSES.format(gallery="b-?", allowed="x"), "purposes.0.galleries.0: 'b-?': "),
        (_PURPOSES.format(gallery="-b", allowed="x"), "purposes.0.galleries.0: '-b': "),
        (_PURPOSES.format(gallery="b", allowed=""), "purposes.0.allowed.0: '': "),
        (_PURPOSES.format(gallery="b", allowed="x\\n"), "purposes.0.allowed.0: 'x\\n': "),
        (_ROLES + _GRANT.replace("border-*", "border-[12]"), "grants.0.galleries.0: 'border-[12]': "),
        (_ROLES + _GRANT.replace("spiffe://x/gate/*", ""), "grants.0.principals.0: '': "),
        (_ROLES + _GRANT + 'groups = ["gates-*"]\n', "grants.0.groups.0: 'gates-*': "),
        ('servers = ["spiffe://x/*"]\n' + _ROLES + _GRANT, "servers.0: 'spiffe://x/*': "),
    ],
)
def test_a_policy_with_a_fault_is_refused(policy: Path, text: str, said: str) -> None:
    """The message names the file, the place and, where it is a word, the word."""
    policy.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load_policy(policy)
    assert str(refused.value).startswith(str(policy))
    assert said in str(refused.value)


def _given(authority: Authority, issuer: Issuer, policy: Path) -> dict[str, Any]:
    certificate, key = authority.issue_server("settings")
    return {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_client_ca": authority.file,
        "auth_jwks": str(issuer.jwks),
        "auth_audience": AUDIENCE,
        "auth_policy": policy,
    }


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ({"tls_key"}, "FACEGRID_TLS_KEY"),
        ({"auth_policy"}, "set FACEGRID_AUTH_POLICY"),
        ({"auth_audience"}, "set FACEGRID_AUTH_AUDIENCE"),
        ({"tls_client_ca", "auth_jwks"}, "nothing says who calls"),
    ],
)
def test_settings_that_do_not_go_together(
    authority: Authority, issuer: Issuer, policy: Path, left_out: set[str], said: str
) -> None:
    """Half of a setup does not start."""
    given = _given(authority, issuer, policy)
    open_security(Settings(**given))
    with pytest.raises(ConfigurationError, match=said):
        open_security(Settings(**{name: value for name, value in given.items() if name not in left_out}))


@pytest.mark.parametrize("wrong", ["tls_certificate", "tls_key"])
def test_a_certificate_and_a_key_that_are_no_pair(
    authority: Authority, issuer: Issuer, policy: Path, tmp_path: Path, wrong: str
) -> None:
    """It is said at the start, and not at the first connection."""
    other = dict(zip(("tls_certificate", "tls_key"), authority.issue("other", folder=tmp_path), strict=True))
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    for file in (other[wrong], garbage):
        with pytest.raises(ConfigurationError, match="no pair"):
            open_security(Settings(**_given(authority, issuer, policy) | {wrong: file}))


@pytest.mark.parametrize("name", ["tls_client_ca", "tls_server_ca"])
def test_an_authority_that_is_none(authority: Authority, issuer: Issuer, policy: Path, name: str) -> None:
    """A file that holds no certificates is named."""
    with pytest.raises(ConfigurationError, match=r"policy\.toml is no PEM file"):
        open_security(Settings(**_given(authority, issuer, policy) | {name: policy}))


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca", "auth_policy"])
def test_a_file_that_is_missing(authority: Authority, issuer: Issuer, policy: Path, name: str) -> None:
    """The error names it."""
    with pytest.raises(OSError, match="missing"):
        open_security(Settings(**_given(authority, issuer, policy) | {name: policy.with_name("missing")}))


@pytest.mark.parametrize("lacking", [{}, {"auth_jwks": "x"}, {"tls_certificate": Path("x")}])
def test_an_address_that_others_reach_needs_authentication(lacking: dict[str, Any]) -> None:
    """Neither tokens in the clear nor TLS for anyone are enough; the sentence says how to go on."""
    with pytest.raises(ConfigurationError, match=r"FACEGRID_TLS_CERTIFICATE.*127\.0\.0\.1.*--insecure"):
        check_addresses("0.0.0.0:1", Settings(**lacking), insecure=False)
    check_addresses("0.0.0.0:1", Settings(**lacking), insecure=True)
    check_addresses("127.0.0.1:1", Settings(**lacking), insecure=False)


@pytest.mark.parametrize("address", ["unix:/run/metrics", "unix:9464"])
def test_metrics_take_no_socket(address: str) -> None:
    """What looks like one would be served at every address of the machine."""
    with pytest.raises(ConfigurationError, match=address):
        check_addresses("127.0.0.1:1", Settings(metrics=address), insecure=False)


@pytest.mark.parametrize("known", [{"auth_jwks": "x"}, {"tls_client_ca": Path("x")}])
def test_an_address_that_others_reach_is_fine_where_callers_are_known(known: dict[str, Any]) -> None:
    """By tokens or by certificates, over TLS; metrics, which know nobody, stay on loopback."""
    settings = Settings(tls_certificate=Path("x"), **known)
    check_addresses("0.0.0.0:1", settings, insecure=False)
    metrics = settings.model_copy(update={"metrics": "0.0.0.0:2"})
    with pytest.raises(ConfigurationError, match="metrics"):
        check_addresses("0.0.0.0:1", metrics, insecure=False)


def test_the_policy_of_the_documentation_is_one(policy: Path) -> None:
    """What docs/security.md shows can be used as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
    policy.write_text(page.partition("```toml\n")[2].partition("```")[0])
    rights = load_policy(policy).of(Principal("spiffe://border.example/gate/7"))
    assert rights.holds(Permission.IDENTIFY, "border-1")
    assert not rights.sees("staff")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_ROLES + _GRANT.replace('"gate"', '"gat"'), "'gat'"),
        ('[roles]\ngate = ["verfy"]\n' + _GRANT, "'verfy'"),
        (_ROLES + _GRANT + "[more]\n", "more: Extra inputs"),
        (_ROLES + _GRANT, "FACEGRID_AUTH_JWKS: no key set could be read from https://127.0.0.1:1/keys"),
    ],
)
def test_the_process_does_not_start(policy: Path, tmp_path: Path, text: str, said: str) -> None:
    """An unknown role, permission or key of the policy, or keys that cannot be had: the program names it."""
    policy.write_text(text)
    said_of = {"AUTH_POLICY": policy, "AUTH_JWKS": "https://127.0.0.1:1/keys", "AUTH_AUDIENCE": AUDIENCE}
    environment = {f"FACEGRID_{name}": str(value) for name, value in said_of.items()}
    run = CliRunner().invoke(app, ["serve", "--data", str(tmp_path / "data")], env=environment)
    assert (run.exit_code, said in run.stderr) == (1, True), run.stderr
    assert not (tmp_path / "data").exists()
