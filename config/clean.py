"""`make clean`: stops the embedded servers that nobody uses, so that their folder can go."""

from __future__ import annotations

import sys

from config.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres
from config.env import VAR


def main() -> int:
    for server in (EmbeddedPostgres(VAR / "postgres"), EmbeddedBroker(VAR / "broker")):
        try:
            if server.running():
                # Joining and leaving stops a server whose users were all killed.
                server.hold()
                server.release()
            if server.running():
                print(f"A console still uses {VAR}: stop it first.", file=sys.stderr)
                return 1
        except EmbeddedError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
