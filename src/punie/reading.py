"""Reading a file that somebody else may have put there: it neither waits nor fills the memory.

A name can lead to a pipe that nobody writes to, to `/dev/zero`, to a sparse file of a terabyte.
Every room that reads a person's or a model's files reads them here.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MIB = 2**20


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading bytes; the caller closes it.

    Raises OSError, whose `strerror` is made for people, for anything else: what is missing, a
    folder, a pipe, a device, a socket, a name that cannot be one.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a name cannot hold a NUL character", str(path))
    # Without O_NONBLOCK the opening of a pipe would wait for whoever writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    raise OSError(errno.EINVAL, "is no regular file", str(path))


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises OSError as `open_regular`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= limit:
            content = file.read(limit + 1)
            if len(content) <= limit:
                return content
            size = len(content)
    allowed = f"{limit / MIB:.0f} MiB" if limit >= MIB else f"{limit} bytes"
    what = f"is {size / MIB:,.0f} MiB, more than the {allowed} that are read"
    raise OSError(errno.EFBIG, what, str(path))
