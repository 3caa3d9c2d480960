"""What a key holds of a user's code: packages with their versions, and a hash of every file that belongs to none."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from assay.errors import CodeError

_MOST_MODULES = 2_000
_OURS = "assay"


def identity_of(*modules: str) -> str:
    """The identity of the code in these modules and in what they take from others, in at most 32 characters.

    A module of an installed package counts by the package's version, without a build tag such as `+cpu`; any other, by
    the hash of its file, and then the modules whose objects it holds count too. So the files of a project that import
    one another are all covered, also where the project is installed as editable. Python's own modules are left out.

    Raises: CodeError where a module has no source, as in a notebook.
    """
    parts = {package or _hash_of(module) for module, package in _covered(modules)}
    text = "\n".join(sorted(parts))
    return text if len(parts) == 1 and len(text) <= 32 else hashlib.sha256(text.encode()).hexdigest()[:32]


def own_files(*modules: str) -> list[str]:
    """The files whose content is in that identity: those of these modules, then of what they take, in no package."""
    return [module.__file__ for module, package in _covered(modules) if not package and module.__file__]


def _covered(modules: Sequence[str]) -> Iterator[tuple[ModuleType, str]]:
    """The modules that an identity covers, each with its package and version, "" without one; Python's own are not."""
    waiting, seen = list(reversed(modules)), set[str]()
    while waiting and len(seen) < _MOST_MODULES:
        name = waiting.pop()
        module = sys.modules.get(name)
        if name in seen or module is None:
            continue
        seen.add(name)
        if _is_pythons(name) or name.partition(".")[0] == _OURS:
            continue
        package = _package_of(module)
        yield module, package
        if not package:
            waiting += sorted(_taken_from(module))


def _taken_from(module: ModuleType) -> set[str]:
    """The modules that a module holds, or holds objects of."""
    names: set[str] = set()
    for key, value in list(vars(module).items()):
        if key.startswith("__") or not key.isidentifier():  # what the importer adds, such as the loader
            continue
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and name != module.__name__:
            names.add(name)
    return names


def _hash_of(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__" or not file or not str(file).endswith(".py"):
        raise CodeError(f"module {module.__name__!r} has no source file, by which its code is known; use a .py file")
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:
        raise CodeError(f"module {module.__name__!r}: its source cannot be read: {error}") from None


def _is_pythons(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names and name != "__main__"


def _package_of(module: ModuleType) -> str:
    """The package and version of a module in the folders that pip installs to; "" for any other module."""
    file = _file_of(module)
    if not file or not any(Path(file).is_relative_to(folder) for folder in _installed_folders()):
        return ""
    top = module.__name__.partition(".")[0]
    names = _distributions().get(top)
    return f"{names[0]} {importlib.metadata.version(names[0]).partition('+')[0]}" if names else ""


def _file_of(module: ModuleType) -> str | None:
    """A module's file; of one without, such as a part of a compiled module, that of the package that it is in."""
    name, found = module.__name__, getattr(module, "__file__", None)
    while not found and "." in name:
        name = name.rpartition(".")[0]
        found = getattr(sys.modules.get(name), "__file__", None)
    return found


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    return tuple(Path(folder) for folder in sorted(folders))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
