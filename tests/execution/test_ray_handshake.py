"""What nodes of a cluster are asked before the first trial, and why one of them gets none. No Ray is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.data.datasets import load
from assay.data.sent import from_file, to_file
from assay.errors import AssayError, DataError
from assay.execution.executors import LocalExecutor
from assay.execution.places import executor_on
from assay.execution.ray.cluster import joined
from assay.execution.ray.handshake import Agreed, Node, agreed, answer_of
from assay.execution.ray.slot import END, ERRORS, MESSAGE, Slot
from assay.workers import node as node_facts
from assay.workers.messages import packed, unpacked

Command = Callable[..., tuple[int, str, str]]


def facts(**changes: Any) -> dict[str, Any]:
    described = {"cpu": "A", "cores": 8, "system": "Linux", "versions": {"numpy": "2.4", "scipy": "1.17"}}
    return {
        "python": "3.11.7",
        "ray": "2.60.0",
        "machine": "m",
        "shared_memory": 10**10,
        "assay": "0.2.0",
        "files": "abc",
        "numerics": {"native, cpu": 3},
        "levels": ["avx512", "avx2", "baseline"],
        "describe": described,
        "missing": {},
        "used": {"native": "avx512", "numpy": "SkylakeX"},
    } | changes


def nodes(*answers: dict[str, Any]) -> list[Node]:
    return [Node(f"id{n}", f"10.0.0.{n}", 8.0, 0.0, answer) for n, answer in enumerate(answers, 1)]


def terms(*answers: dict[str, Any], engines: list[str] | None = None, isolated: bool = False) -> Agreed:
    return agreed(nodes(*answers), facts(), engines or ["native"], isolated=isolated)


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        ({"python": "3.12.1"}, "Python 3.12.1 there, 3.11.7 here"),
        ({"ray": "2.59.0"}, "Ray 2.59.0 there, 2.60.0 here"),
        ({"assay": "0.1.0"}, "Assay 0.1.0 there, 0.2.0 here"),
        ({"numerics": {"native, cpu": 2}}, "the numerics of its engines are others than here"),
        ({"files": "def"}, "the files of its Assay 0.2.0 are others (def) than here (abc)"),
        ({"missing": {"native": "engine 'native' was not built"}}, "engine 'native' was not built"),
        ({"describe": facts()["describe"] | {"versions": {"numpy": "2.3"}}}, "numpy 2.3 there, 2.4 here"),
        ({"problem": "Assay is not installed there"}, "Assay is not installed there"),
    ],
)
def test_a_node_that_differs_gets_no_trials_and_the_other_one_does(difference: dict[str, Any], sentence: str) -> None:
    made = terms(facts(), facts(**difference))
    assert [node.address for node in made.nodes] == ["10.0.0.1"]
    assert list(made.refused) == ["10.0.0.2"]
    assert made.refused["10.0.0.2"].startswith(sentence)


def test_the_native_engine_takes_the_best_level_of_all_nodes_and_says_so() -> None:
    assert terms(facts(), facts()).level == "avx512"
    assert terms(facts(), facts()).notes == ()
    made = terms(facts(), facts(levels=["avx2", "baseline"]))
    assert (made.level, len(made.nodes)) == ("avx2", 2)
    assert made.notes == ("the native engine runs at avx2, the best level of all nodes; 10.0.0.1 has better",)
    nothing = terms(facts(levels=["avx512"]), facts(levels=["avx2"]))
    assert nothing.nodes == []
    assert nothing.refused["10.0.0.2"] == "native engine with avx2 alone"


def test_engines_without_a_common_level_train_on_the_larger_group_of_equal_nodes() -> None:
    other = facts(used={"numpy": "Haswell"})
    made = terms(facts(), other, facts(), engines=["numpy"])
    assert [node.address for node in made.nodes] == ["10.0.0.1", "10.0.0.3"]
    assert made.refused["10.0.0.2"] == "engine 'numpy' uses Haswell there, and SkylakeX on the other nodes"


def test_isolated_trials_take_one_node_of_each_machine_and_machines_of_one_kind() -> None:
    made = terms(facts(machine="a"), facts(machine="a"), facts(machine="b"), isolated=True)
    assert [node.address for node in made.nodes] == ["10.0.0.1", "10.0.0.3"]
    slower = facts(machine="b", describe=facts()["describe"] | {"cpu": "B"})
    made = terms(facts(machine="a"), slower, isolated=True)
    assert made.nodes == []
    assert made.refused["10.0.0.2"].startswith("B, 8 cores, Linux (")


def test_little_shared_memory_is_said() -> None:
    (note,) = terms(facts(shared_memory=64 * 2**20)).notes
    assert note.startswith("node 10.0.0.1: /dev/shm has 67 MB")


@pytest.mark.parametrize(
    ("errors", "code", "problem"),
    [
        ("(ModuleNotFoundError: No module named 'assay')", 1, "Assay is not installed there"),
        ("No module named assay.workers.node", 1, "an older Assay is installed there; install the driver's"),
        ("Traceback\nOSError: no", 1, "Assay cannot be started there: OSError: no"),
        ("", None, "Assay did not answer in time"),
    ],
)
def test_a_node_whose_assay_does_not_answer_is_said_why(errors: str, code: int | None, problem: str) -> None:
    raw = json.dumps({"python": "3.11.7", "ray": "2.60.0", "code": code, "answer": "", "errors": errors}).encode()
    assert answer_of(raw)["problem"].startswith(problem)


def test_a_node_answers_with_what_the_driver_knows_of_itself() -> None:
    words = [sys.executable, "-P", "-m", "assay.workers.node", '{"engines": ["numpy", "cobol"]}']
    told = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    here = json.loads(json.dumps(node_facts.facts(["numpy", "cobol"]), default=str))
    for answer in (told, here):
        del answer["describe"]["blas"]  # what is loaded: in this process by other tests too
    assert told == here
    assert told["used"]["numpy"]
    assert "unknown engine 'cobol'" in told["missing"]["cobol"]


def test_a_data_set_that_is_sent_arrives_as_it_was_or_is_refused(tmp_path: Path) -> None:
    digits = load("digits")
    file = to_file(digits)
    (tmp_path / "a.npz").write_bytes(file.content)
    arrived = from_file(tmp_path / "a.npz")
    assert (arrived.checksum, arrived.classes, arrived.notes) == (digits.checksum, digits.classes, digits.notes)
    assert not arrived.x_train.flags.writeable
    changed = bytearray(file.content)
    place = file.content.index(digits.x_train[700:710].tobytes())
    changed[place + 20] ^= 1
    (tmp_path / "b.npz").write_bytes(changed)
    with pytest.raises(DataError, match=r"b\.npz"):
        from_file(tmp_path / "b.npz")


def test_a_slot_passes_on_messages_errors_and_the_end_of_its_worker(tmp_path: Path) -> None:
    slot = Slot("assay.workers.worker", 0, 0, environment={"ASSAY_TURN": str(tmp_path / "turn")}, status_seconds=0.2)
    about = json.loads(slot.start())
    assert (about["cores"], about["threads"]) == ([], None)
    frames = slot.receive(30.0)
    assert frames[0][:1] == MESSAGE
    assert unpacked(frames[0][1:])[0]["kind"] == "ready"
    slot.send([packed("calibrate", jobs=[[{"key": "k", "recipe": {"data": "nowhere"}}]], code="", engine="numpy")])
    received: list[bytes] = []
    while not any(frame[:1] == MESSAGE for frame in received):
        received += slot.receive(30.0)
    assert [unpacked(frame[1:])[0]["kind"] for frame in received if frame[:1] == MESSAGE] == ["calibrated"]
    assert b"Traceback" in b"".join(frame[1:] for frame in received if frame[:1] == ERRORS)
    os.kill(about["pid"], 9)
    frames = slot.receive(30.0)
    assert (frames[-1][:1], json.loads(frames[-1][1:])) == (END, {"code": -9})
    slot.end()


def test_slots_take_cores_that_no_other_slot_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    usable = sorted(os.sched_getaffinity(0))
    slots = [Slot("m", 0, 1, environment={}, status_seconds=0.2) for _ in range(len(usable) + 1)]
    taken = [slot._cores for slot in slots]  # pyright: ignore[reportPrivateUsage]
    assert taken == [*([core] for core in usable), []]


def test_slots_of_a_node_share_a_file_and_the_last_one_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    first, second = (Slot("m", 0, 0, environment={}, status_seconds=0.2) for _ in range(2))
    file = to_file(load("digits"))
    assert first.file_of(file.digest, None) == ""
    path = Path(first.file_of(file.digest, file.content))
    assert path.read_bytes() == file.content
    assert second.file_of(file.digest, None) == str(path)
    first.end()
    assert path.exists()
    second.end()
    assert not path.exists()
    path.write_bytes(b"something else")
    assert first.file_of(file.digest, None) == ""
    with pytest.raises(ValueError, match="changed on the way"):
        first.file_of(file.digest, b"something else")


def test_where_is_read_and_what_is_wrong_is_a_sentence(monkeypatch: pytest.MonkeyPatch, invoke: Command) -> None:
    with executor_on("local") as executor:
        assert isinstance(executor, LocalExecutor)
    assert invoke("run", "--on", "rya", "--store", "s.db")[::2] == (
        2,
        "error: --on: got 'rya'; expected local, ray or ray://HOST:PORT; did you mean ray?\n",
    )
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    with pytest.raises(AssayError, match=r"--on ray needs ray: pip install '\.\[ray\]'"), joined("ray"):
        pass
    monkeypatch.setattr("importlib.util.find_spec", str)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(AssayError, match="RAY_ADDRESS=127.0.0.1:1: 127.0.0.1:1 does not answer"), joined("ray"):
        pass
    with pytest.raises(AssayError, match="ray://here: not an address of Ray"), joined("ray://here"):
        pass
    assert not Path("s.db").exists()
