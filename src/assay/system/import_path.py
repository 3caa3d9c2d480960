"""Where modules are imported from, here and in the processes that Assay starts: not from the current folder."""

import os
import sys


def leave_out_current_folder() -> None:
    """Takes the current folder, which `python -m` has put first, off `sys.path`.

    A `numpy.py` or `queue.py` that lies there is then not imported in place of the real one, as with the command
    `assay`. With --allow-code the folder comes back where users' optimizers are read. Not prevented: what Python itself
    imports to run a module, and an `assay.py` or a folder `assay` in the current folder, which Python takes for this
    package before any code of ours runs. `python -P -m assay` and PYTHONSAFEPATH=1 prevent that too.
    """
    if sys.flags.safe_path:
        return
    try:
        current = os.getcwd()  # noqa: PTH109 - pathlib would import a dozen modules from the folder
    except OSError:  # it has been removed, and Python has put nothing there
        return
    if sys.path[:1] == [current]:
        del sys.path[0]


def own_process(module: str, *words: str) -> list[str]:
    """The command that runs a module of Assay's in a new process, with the current folder left out in the same way."""
    return [sys.executable, "-P", "-m", module, *words]


def own_environment() -> dict[str, str]:
    """The environment of such a process, which finds this Assay also where it was imported from the current folder."""
    from pathlib import Path

    root = Path(__file__).absolute().parents[2]
    if root != Path.cwd():
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}
