"""The kind of file system that a folder is on, as far as it matters for locks."""

from __future__ import annotations

from pathlib import Path

import psutil

NETWORK = ("afpfs", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs")
"""File systems that several machines may have mounted at once, whose shared memory ends at each machine."""


def network_file_system(path: Path) -> str | None:
    """The type of the file system of a path if machines can share it, such as "nfs4"; None for a local one.

    Args:
        path: a file or folder, which need not exist.
    """
    place = path.absolute()
    kind, longest = "", -1
    for mount in psutil.disk_partitions(all=True):
        if len(mount.mountpoint) >= longest and place.is_relative_to(mount.mountpoint):
            kind, longest = mount.fstype, len(mount.mountpoint)
    return kind if kind in NETWORK else None
