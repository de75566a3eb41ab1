"""HiGHS in a process of its own: reads requests from standard input and writes results to standard output, in turn.

It hears no interrupter, so who asked ends the process where nobody waits for its answer any longer. Run as a file: what
it imports is a fifth of what the solvers do.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
import time
from typing import BinaryIO

from ortools.math_opt import callback_pb2, parameters_pb2, rpc_pb2
from ortools.math_opt.core.python import solver

LENGTH = struct.Struct("<Q")
"""What stands before each message: its length in bytes."""
_SECONDS_BETWEEN_LOOKS = 0.5


def serve(requests: BinaryIO, results: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while head := requests.read(LENGTH.size):
        asked = rpc_pb2.SolveRequest.FromString(requests.read(*LENGTH.unpack(head)))
        found = solver.solve(
            asked.model,
            asked.solver_type,
            parameters_pb2.SolverInitializerProto(),
            asked.parameters,
            asked.model_parameters,
            None,
            callback_pb2.CallbackRegistrationProto(),
            None,
            None,
        )
        written = found.SerializeToString()
        results.write(LENGTH.pack(len(written)) + written)
        results.flush()


def _end_with(parent: int) -> None:
    """End when whoever asked is no more, also in the midst of a solve."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


if __name__ == "__main__":
    # Ctrl-C goes to all processes of a terminal: it is the asking one that decides what becomes of the answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    # HiGHS prints of itself to standard output, which is the results' alone.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, out)
