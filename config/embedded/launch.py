"""Become another user when asked to, detach when asked to, and execute a program.

A script of its own, run as `python -I -S launch.py REQUEST PROGRAM ARGUMENT...`: a program with
threads must not run Python between fork and exec, and the double fork leaves the server to
init, so that no process of ours has to reap it. REQUEST is JSON:

    account   {name, uid, gid} to become, or null
    reach     paths that this account must be able to read and enter
    detach    {log, pid}: descriptors for the output and for the pid of the server, or null

Exit code 125 with one line on standard error: it was not executed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

REFUSED = 125

PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_READ_SEARCH, CAP_SETPCAP = 1 << 2, 1 << 8
CAPABILITY_VERSION_3 = 0x20080522


class RefusedError(Exception):
    """The program cannot be executed as asked."""


def _call(function: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _prctl(option: int, *values: int) -> None:
    padded = [*values, 0, 0, 0, 0][:4]
    _call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(value) for value in padded))


def _capset(effective: int, inheritable: int) -> None:
    words = ctypes.c_uint32
    header = (words * 2)(CAPABILITY_VERSION_3, 0)
    _call("capset", header, (words * 6)(effective, effective, inheritable, 0, 0, 0))


def _blocked(paths: list[str]) -> str | None:
    """The first folder or file on the way to `paths` that the present user may not enter."""
    for path in paths:
        if os.access(path, os.R_OK | os.X_OK):
            continue
        parts = path.split("/")
        for end in range(1, len(parts)):
            above = "/".join(parts[:end]) or "/"
            if not os.access(above, os.X_OK):
                return above
        return path
    return None


def _become(name: str, uid: int, gid: int, reach: list[str]) -> None:
    linux = sys.platform == "linux"
    try:
        if linux:
            _prctl(PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise RefusedError(
            f"This process may not become the user {name} ({error.strerror}), and the server "
            "does not run as root: run it as an ordinary user."
        ) from error
    blocked = _blocked(reach)
    if not linux or blocked is None:
        if linux:
            _capset(0, 0)
        if blocked is None:
            return
        raise RefusedError(_unreachable(name, blocked))
    try:
        _capset(CAP_DAC_READ_SEARCH | CAP_SETPCAP, CAP_DAC_READ_SEARCH)
        # Without it access(2), by which the programs look for their own files, ignores
        # capabilities for everyone but root.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
        _capset(CAP_DAC_READ_SEARCH, CAP_DAC_READ_SEARCH)
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 2)
    except OSError as error:
        raise RefusedError(_unreachable(name, blocked)) from error


def _unreachable(name: str, blocked: str) -> str:
    return (
        f"The server's user {name} may not enter {blocked}, and this process lacks the capability "
        "CAP_DAC_READ_SEARCH that would let it: put the data (CUSTODY_VAR) and the virtual "
        "environment elsewhere, or run as an ordinary user."
    )


def _execute(request: dict[str, object], command: list[str]) -> None:
    os.umask(0o077)
    # Python ignores SIGPIPE, and what is ignored stays ignored in the program.
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    account = request["account"]
    if isinstance(account, dict):
        _become(**account, reach=request["reach"])  # type: ignore[arg-type]
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        raise RefusedError(
            f"{command[0]} cannot be executed ({error.strerror}): install the virtual environment "
            "again, readable for everyone (umask 022)."
        ) from error


def _detach(log: int, pid: int) -> None:
    os.setsid()
    os.write(pid, str(os.getpid()).encode())
    # The lock on this file tells other processes that the launch is not over; exec ends it.
    os.set_inheritable(pid, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.set_inheritable(log, False)


def main() -> int:
    request, command = json.loads(sys.argv[1]), sys.argv[2:]
    os.chdir("/")
    if not request["detach"]:
        try:
            _execute(request, command)
        except RefusedError as refused:
            sys.stderr.write(f"{refused}\n")
        return REFUSED
    answer, question = os.pipe()
    if os.fork():
        os.close(question)
        # The child keeps these; ours would prolong the lock on the pid file.
        for fd in request["detach"].values():
            os.close(fd)
        with os.fdopen(answer) as pipe:
            refusal = pipe.read()
        sys.stderr.write(refusal)
        return REFUSED if refusal else 0
    try:
        _detach(**request["detach"])
        _execute(request, command)
    except Exception as error:
        os.write(question, f"{error}\n".encode())
    os._exit(REFUSED)


if __name__ == "__main__":
    sys.exit(main())
