"""Secrets: where they come from, and where they never go."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from towpath import ProcessPoolTaskRunner, errors, flow, get_run_logger, task
from towpath.blocks.system import Secret, environment_name, folder
from towpath.json_values import to_json
from towpath.testing import Harness

PASSWORD = "s3cr3t-hunter2"


def kept(name: str, text: str, mode: int = 0o600) -> Path:
    """Write a secret's file by hand."""
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("value", [PASSWORD, "", " x ", "a\nb", "a\n", "a\r\n", "a\n\n", "é"], ids=repr)
@pytest.mark.parametrize("name", ["db-password", "warehouse/password", "Key_1.pem"])
def test_what_is_saved_is_loaded(towpath: Harness, name: str, value: str) -> None:
    """Whatever the text is; only its owner can read the file."""
    path = Path(Secret(value).save(name))
    assert Secret.load(name).get() == value
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path == towpath.folder / "secrets" / name
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("text", "value"), [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n")])
def test_the_line_break_of_an_editor_does_not_count(towpath: Harness, text: str, value: str) -> None:
    """A file that was written by hand ends with one."""
    kept("pw", text)
    assert Secret.load("pw").get() == value


def test_a_secret_is_replaced_only_if_that_is_meant(towpath: Harness) -> None:
    """Without `overwrite` the error is a ValueError, and the secret stays."""
    Secret("one").save("pw")
    with pytest.raises(ValueError, match="a secret 'pw' already") as caught:
        Secret("two").save("pw")
    assert isinstance(caught.value, errors.AlreadySet)
    assert "two" not in str(caught.value)
    assert Secret.load("pw").get() == "one"
    Secret("two").save("pw", overwrite=True)
    assert Secret.load("pw").get() == "two"


@pytest.mark.parametrize(
    ("name", "variable"),
    [("db-password", "TOWPATH_SECRET_DB_PASSWORD"), ("warehouse/key.pem", "TOWPATH_SECRET_WAREHOUSE_KEY_PEM")],
)
def test_the_environment_goes_over_the_file(
    towpath: Harness, monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    """As a pod gets one from `secretKeyRef`; it is taken as it is."""
    assert environment_name(name) == variable
    Secret("from file").save(name)
    monkeypatch.setenv(variable, "5\n")
    assert Secret.load(name).get() == "5\n"


def test_one_that_is_nowhere_is_told_with_where_it_was_looked_for(towpath: Harness) -> None:
    """The error is a ValueError that names the variable, the file and the cure."""
    with pytest.raises(ValueError, match="no secret 'db-password'") as caught:
        Secret.load("db-password")
    assert isinstance(caught.value, errors.NotSet)
    for part in ("TOWPATH_SECRET_DB_PASSWORD", str(towpath.folder / "secrets" / "db-password"), ".save('db-password')"):
        assert part in str(caught.value)


@pytest.mark.usefixtures("pod")
def test_in_a_pod_it_comes_from_what_the_template_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a mounted Secret can be read by their group; a pod keeps none itself."""
    assert folder() == Path("/etc/towpath/secrets")
    with pytest.raises(errors.NotSet, match="mount a Kubernetes Secret"):
        Secret.load("pw")
    with pytest.raises(errors.ConfigurationError, match="make a Kubernetes Secret"):
        Secret("x").save("pw")
    monkeypatch.setenv("TOWPATH_SECRETS", str(tmp_path))
    kept("etl/pw", PASSWORD, 0o644)
    assert Secret.load("etl/pw").get() == PASSWORD


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660], ids=oct)
def test_a_file_that_others_can_read_is_refused(towpath: Harness, mode: int) -> None:
    """On this machine, with the command that puts it right; unless somebody has chosen the folder."""
    path = kept("pw", PASSWORD, mode)
    with pytest.raises(errors.ConfigurationError, match="can be read by others") as caught:
        Secret.load("pw")
    assert f"chmod 600 {str(path)!r}" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    os.environ["TOWPATH_SECRETS"] = str(path.parent)
    assert Secret.load("pw").get() == PASSWORD


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a b", "x" * 256, None, 5, "..x"], ids=repr
)
def test_names_stay_in_their_folder(towpath: Harness, name: Any) -> None:
    """A name leads nowhere else."""
    for call in (lambda: Secret.load(name), lambda: Secret("x").save(name)):
        with pytest.raises(errors.UnfitValue, match="letters, digits") as caught:
            call()
        assert repr(name) in str(caught.value)


def test_a_file_that_is_no_text_is_told(towpath: Harness) -> None:
    """And so is a folder in the place of a file."""
    kept("pw", "").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.ConfigurationError, match="no text in UTF-8"):
        Secret.load("pw")
    (folder() / "dir").mkdir()
    with pytest.raises(errors.NotSet):
        Secret.load("dir")
    with pytest.raises(errors.ConfigurationError, match="cannot be written"):
        Secret("x").save("pw/below")
    with pytest.raises(errors.ConfigurationError, match="cannot be written"):
        Secret("x").save("dir", overwrite=True)
    assert sorted(path.name for path in folder().iterdir()) == ["dir", "pw"]


def test_it_is_not_shown(towpath: Harness) -> None:
    """In no form that anybody sees by accident."""
    secret = Secret(PASSWORD)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        repr([secret]),
        "".join(map(str, [secret])),
        repr({"a": secret}),
    ]
    assert not any(PASSWORD in text for text in shown)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        to_json(secret)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_it_is_not_written_down(dumps: Any) -> None:
    """So it gets into no result, no cache and no status."""
    with pytest.raises(TypeError, match="pass its name, and load it where it is needed"):
        dumps(Secret(PASSWORD))


def test_it_is_a_value(towpath: Harness) -> None:
    """Equal ones are equal, and a copy is the same."""
    secret = Secret("x")
    assert (secret, hash(secret)) == (Secret("x"), hash(Secret("x")))
    assert secret != Secret("y")
    assert secret != "x"
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    with pytest.raises(errors.UnfitValue, match=r"json\.dumps"):
        Secret({"a": 1})  # type: ignore[arg-type]


def test_asynchronous_code_awaits(towpath: Harness) -> None:
    """The same names, and twins that are typed for it."""

    async def use() -> list[str]:
        await Secret("1").save("a")  # type: ignore[misc]
        await Secret("2").asave("b")
        return [(await Secret.load("a")).get(), (await Secret.aload("b")).get()]  # type: ignore[misc]

    assert asyncio.run(use()) == ["1", "2"]


def test_a_flow_that_uses_one_leaves_no_trace_of_it(towpath: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """Passed to a task and logged, kept or not, it is neither in the history, nor in the log, nor in the results."""
    caplog.set_level(logging.DEBUG)

    @task(persist_result=True)
    def connects(password: Secret) -> int:
        get_run_logger().info("with %s", password)
        return len(password.get())

    @flow(persist_result=True, validate_parameters=False)
    def loads(password: Secret) -> int:
        return connects(password)

    assert loads(Secret(PASSWORD)) == len(PASSWORD)
    assert len(towpath.history.runs()) == 1
    assert PASSWORD not in caplog.text
    towpath.close()
    for path in towpath.folder.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


@task
def length_of(name: str) -> int:
    """Load a secret in a task."""
    return len(Secret.load(name).get())


def test_a_worker_process_loads_its_own(towpath: Harness) -> None:
    """By name; the secret itself is refused at the way there, with the cure."""
    Secret(PASSWORD).save("pw")

    @task
    def use(secret: Secret) -> str:
        return secret.get()

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def loads() -> int:
        refused = use.submit(Secret(PASSWORD))
        with pytest.raises(errors.SerializationError, match="pass its name, and load it where it is needed"):
            refused.result()
        return length_of.submit("pw").result()

    assert loads() == len(PASSWORD)
