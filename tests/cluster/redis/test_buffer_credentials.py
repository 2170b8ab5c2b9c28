"""User, password and CA from the environment, TLS, and that none of it is ever shown or stored."""

from pathlib import Path

import pytest

from cluster import cli
from cluster.redis.connection import connect, require_server
from cluster.redis.credentials import CA_FILE, PASSWORD, PASSWORD_FILE, USERNAME, Credentials, credentials_from
from cluster.redis.private_server import PrivateRedis
from distill.errors import BufferUnavailable, ConfigError
from tests.support.sandbox import TINY
from tests.support.tls_redis import TlsRedis, make_secrets
from tests.support.users_redis import RUN, UNNAMED_HOST, RedisWithUsers

LEARNER = f"{RUN}-learner"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (USERNAME, PASSWORD, PASSWORD_FILE, CA_FILE):
        monkeypatch.delenv(name, raising=False)


def refusal(url: str) -> str:
    with pytest.raises(BufferUnavailable) as caught:
        require_server(connect(url))
    return str(caught.value)


def test_they_come_from_variables_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    ca = tmp_path / "ca.crt"
    ca.write_text("")
    assert credentials_from({}) == credentials_from({USERNAME: "", PASSWORD: ""}) == Credentials(None, None, None)
    assert credentials_from({PASSWORD: "secret"}) == Credentials(None, "secret", None)
    found = credentials_from({USERNAME: "me", PASSWORD_FILE: str(file), CA_FILE: str(ca)})
    assert found == Credentials("me", "secret", ca)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({PASSWORD: "secret", PASSWORD_FILE: "x"}, "expected one of the two, found both"),
        ({USERNAME: "me"}, f"{USERNAME}: expected a password with it, found none"),
        (
            {PASSWORD_FILE: "missing"},
            f"{PASSWORD_FILE}: expected a file with one line, the password, at missing: No such",
        ),
        ({PASSWORD_FILE: "/"}, "at /: Is a directory"),
        ({PASSWORD_FILE: "/dev/null"}, "in /dev/null, found 0 lines"),
        ({CA_FILE: "missing"}, f"{CA_FILE}: expected a PEM file that can be read, found none at missing"),
    ],
)
def test_what_cannot_be_used_is_named(environment: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        credentials_from(environment)
    assert "secret" not in str(caught.value)


def test_a_password_in_a_variable_is_as_good_as_a_file(
    users_redis: RedisWithUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    users_redis.become(LEARNER, monkeypatch)
    monkeypatch.delenv(PASSWORD_FILE)
    monkeypatch.setenv(PASSWORD, users_redis.password(LEARNER))
    require_server(connect(users_redis.url))


@pytest.mark.parametrize("user", [None, LEARNER, "nobody"])
def test_without_the_right_password_nobody_enters(
    user: str | None, users_redis: RedisWithUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    users_redis.trust(monkeypatch)
    if user is not None:
        monkeypatch.setenv(USERNAME, user)
        monkeypatch.setenv(PASSWORD, "wrong-secret")
    message = refusal(users_redis.url)
    assert f"buffer service at {users_redis.url}/0: cannot use it" in message
    assert f"check user name and password: {USERNAME} and {PASSWORD_FILE}" in message
    assert "wrong-secret" not in message


@pytest.mark.parametrize("ca", ["another", "the system's"])
def test_a_server_that_another_ca_has_signed_is_refused(
    ca: str, tls_redis: TlsRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls_redis.become(LEARNER, monkeypatch)
    if ca == "another":
        make_secrets(tmp_path, "run")
        monkeypatch.setenv(CA_FILE, str(tmp_path / "ca.crt"))
    else:
        monkeypatch.delenv(CA_FILE)
    message = refusal(tls_redis.url)
    assert "certificate verify failed" in message and f"check that {CA_FILE} names the CA" in message


def test_a_server_of_another_name_is_refused(tls_redis: TlsRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    tls_redis.become(LEARNER, monkeypatch)
    message = refusal(tls_redis.url.replace("127.0.0.1", UNNAMED_HOST))
    assert "certificate is not valid for" in message


def test_no_password_goes_out_in_clear_text_where_tls_is_meant(
    tls_redis: TlsRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls_redis.become(LEARNER, monkeypatch)
    with pytest.raises(ConfigError, match=f"expected rediss://, since {CA_FILE} is set, found redis://"):
        connect(tls_redis.url.replace("rediss", "redis"))
    monkeypatch.delenv(CA_FILE)
    assert "whether it wants TLS" in refusal(tls_redis.url.replace("rediss", "redis"))


def test_a_private_server_is_not_given_the_credentials_of_another(
    one_redis_server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(USERNAME, "somebody")
    monkeypatch.setenv(PASSWORD, "secret")
    require_server(connect(one_redis_server.url))


def test_a_whole_run_leaves_no_password_anywhere(
    best_users_redis: RedisWithUsers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    best_users_redis.become(LEARNER, monkeypatch)
    monkeypatch.chdir(tmp_path)
    arguments = ("--serial", "--games", "pong", "--updates", "20", "--name", RUN, "--buffer", best_users_redis.url)
    assert cli.run(["run", *TINY, *arguments]) == 0
    best_users_redis.become("operator", monkeypatch)
    assert cli.run(["runs", "--buffer", best_users_redis.url]) == 0
    printed = capfd.readouterr()
    assert RUN in printed.out
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"config.yaml", "run.log", "student.safetensors"} <= {file.name for file in files}
    for user in best_users_redis.users:
        password = best_users_redis.password(user).encode()
        assert password not in (printed.out + printed.err).encode()
        assert not [file for file in [*files, best_users_redis.folder / "redis.log"] if password in file.read_bytes()]
