"""A helper process: `python -m stdl_events.prepared.worker DESCRIPTOR` makes the shards received through a socket.

It ends with the other side of the socket, and imports neither torch nor the program that started it.
"""

import sys
from multiprocessing.connection import Connection

from stdl_events.prepared.workers import outcome


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    try:
        connection.send(None)
        while True:
            connection.send(outcome(connection.recv()))
    except (EOFError, ConnectionError):
        pass


if __name__ == "__main__":
    main()
