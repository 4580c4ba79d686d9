"""A helper process: `python -m stdl_events.prepared.worker DESCRIPTOR` makes the shards received through a socket.

It ends with the other side of the socket, and imports neither torch nor the program that started it.
"""

import sys
from multiprocessing.connection import Connection

from stdl_events.errors import StdlEventsError
from stdl_events.prepared.shards import Shard, ShardJob, make_shard


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    try:
        connection.send(None)
        while True:
            connection.send(outcome(connection.recv()))
    except (EOFError, ConnectionError):
        pass


def outcome(job: ShardJob) -> Shard | StdlEventsError:
    """Return the shard of `job`, or the error of making it."""
    try:
        return make_shard(job)
    except StdlEventsError as error:
        return error


if __name__ == "__main__":
    main()
