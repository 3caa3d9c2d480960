"""`assay slurm`: the script that it prints or submits, and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command

URL = "postgresql+psycopg://ada@db.example.org/trials"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs in place of Slurm's; each notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "calls"
    program(folder, "sbatch", f'cat > "{tmp_path}/submitted"; echo "Submitted batch job 17"')
    program(folder, "srun", f'echo "srun $*" >> "{log}"; exit "${{RUN_ENDS_WITH:-0}}"')
    program(folder, "scontrol", f'echo "scontrol $*" >> "{log}"')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_the_script_is_an_array_of_runs_on_one_store(invoke: Command) -> None:
    words = ["--nodes", "3", "--cpus", "2", "--time", "04:00:00", "--sbatch=--partition=short", "--timing", "packed"]
    code, out, err = invoke("slurm", "quickstart", *words, "--store", URL)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "#!/bin/bash"
    for option in ("array=1-3", "cpus-per-task=2", "signal=INT@90", "requeue", "time=04:00:00", "partition=short"):
        assert f"#SBATCH --{option}" in lines
    assert f"srun --cpus-per-task=2 assay run quickstart --timing packed --yes --store {URL}" in lines
    bash = shutil.which("bash")
    if bash:
        subprocess.run([bash, "-n"], input=out, text=True, check=True)


def test_a_study_of_ones_own_is_quoted(invoke: Command) -> None:
    Path("my study.toml").write_text(
        'name = "a b/c"\n[baseline]\nmodel = "2LR"\n[axes.rate]\nkey = "lr"\nvalues = [1]\n'
    )
    code, out, err = invoke("slurm", "my study.toml", "--set", "model.hidden=[8, 4]", "--store", URL)
    assert code == 0, err
    assert "#SBATCH --job-name=assay-a-b-c" in out.splitlines()
    assert f"assay run 'my study.toml' --set 'model.hidden=[8, 4]' --yes --store {URL}" in out


@pytest.mark.parametrize(
    ("ends_with", "after", "requeued"), [(0, 100, False), (1, 100, False), (130, 100, True), (130, 2, False)]
)
def test_a_job_is_queued_again_only_where_its_run_was_interrupted_and_not_at_once(
    ends_with: int, after: int, requeued: bool, cluster: Path, invoke: Command
) -> None:
    code, out, _ = invoke("slurm", "quickstart", "--nodes", "2", "--submit", "--store", URL)
    assert (code, out) == (0, "Submitted batch job 17\n")
    environment = os.environ | {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "2", "RUN_ENDS_WITH": str(ends_with)}
    script = (cluster / "submitted").read_text()
    begun = script.replace("srun ", f"SECONDS={after}\nsrun ", 1)  # as if it had begun so long ago
    done = subprocess.run(["bash", "-c", begun], env=environment, check=False)
    assert done.returncode == ends_with
    calls = (cluster / "calls").read_text().splitlines()
    assert calls[0].startswith("srun --cpus-per-task=4 assay run quickstart --yes --store")
    assert calls[1:] == (["scontrol requeue 17_2"] if requeued else [])


@pytest.mark.parametrize("time", ["5", "5:00", "0:05:00", "1-0", "0-01:00", "2-03:04:05"])
def test_times_are_those_of_slurm(time: str, invoke: Command) -> None:
    code, out, err = invoke("slurm", "quickstart", "--time", time, "--store", URL)
    assert code == 0, err
    assert f"#SBATCH --time={time}" in out.splitlines()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["quickstart", "--store", "trials.db"], "trials.db is a file, which one machine at a time may use"),
        (["quickstart"], "is a file, which one machine at a time may use"),
        (["quickstart", "--store", "postgresql://ada:secret@host/x"], "postgresql://ada:***@host/x has a password"),
        (["quikstart", "--store", URL], "did you mean 'quickstart'"),
        (["quickstart", "--time", "soon", "--store", URL], "--time: got 'soon'; expected minutes"),
        (["quickstart", "--time", "2", "--store", URL], "got '2', 120 s; expected at least 5 minutes"),
        (["quickstart", "--time", "4:59", "--store", URL], "got '4:59', 299 s; expected at least 5 minutes"),
        (["quickstart", "--sbatch", "short", "--store", URL], "--sbatch: got 'short'; expected an option of sbatch"),
        (["quickstart", "--sbatch=--x\ny", "--store", URL], "expected an option of sbatch"),
        (["quickstart", "--timing", "pakced", "--store", URL], "did you mean 'packed'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    words: list[str], sentence: str, cluster: Path, invoke: Command
) -> None:
    code, out, err = invoke("slurm", *words, "--submit")
    assert (code, out) == (2, "")
    assert sentence in err
    assert "secret" not in err
    assert not (cluster / "submitted").exists()


def test_without_sbatch_submitting_is_a_sentence(invoke: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    code, _, err = invoke("slurm", "quickstart", "--submit", "--store", URL)
    assert (code, "sbatch is not on the path" in err) == (2, True)


def test_what_sbatch_refuses_is_said(cluster: Path, invoke: Command) -> None:
    program(cluster / "bin", "sbatch", 'cat > /dev/null; echo "sbatch: error: invalid partition" >&2; exit 1')
    code, _, err = invoke("slurm", "quickstart", "--submit", "--store", URL)
    assert (code, "invalid partition" in err) == (2, True)


@pytest.mark.endurance
def test_without_postgresql_each_job_trains_a_part_in_a_store_of_its_own(cluster: Path, invoke: Command) -> None:
    code, out, err = invoke("slurm", "quickstart", "--nodes", "2", "--timing", "packed", "--parts", "my parts")
    assert (code, err) == (0, "")
    program(cluster / "bin", "srun", 'shift; echo "srun $*" >> calls; exec "$@"')
    program(cluster / "bin", "assay", f'exec {sys.executable} -m assay.cli "$@"')
    script = out.replace("assay run", "assay run --set budget.epochs=1 --repeats 1")
    for number in ("1", "2"):
        environment = os.environ | {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": number}
        done = subprocess.run(["bash", "-c", script], env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    folder = Path("my parts")
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".db") == ["part-1.db", "part-2.db"]
    added = [
        int(invoke("store", "import", str(folder / f"part-{n}"), "--store", "all.db")[1].split()[0]) for n in (1, 2)
    ]
    assert added == [3, 3]
    _, _, err = invoke(
        *("run", "quickstart", "--set", "budget.epochs=1", "--repeats", "1", "--timing", "packed", "--plan"),
        *("--store", "all.db"),
    )
    assert "6 trials; 6 stored, 0 to train" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["quickstart", "--parts", "p", "--store", "x.db"], "leave --store out"),
        (["search.toml", "--parts", "p"], "its jobs share a store"),
    ],
)
def test_parts_that_cannot_be_are_refused(words: list[str], sentence: str, invoke: Command) -> None:
    Path("search.toml").write_text(
        'design = "search"\n[search]\nmethod = "random"\ntrials = 4\n[axes.rate]\nkey = "lr"\nlow = 0.1\nhigh = 1.0\n'
    )
    code, _, err = invoke("slurm", *words)
    assert code == 2 and sentence in err
    code, _, err = invoke("run", "search.toml", "--part", "1/2", "--store", "s.db")
    assert code == 2 and "a search decides each trial by the results of earlier ones" in err
    code, _, err = invoke("run", "--part", "3/2", "--store", "s.db")
    assert code == 2 and "got '3/2'" in err
