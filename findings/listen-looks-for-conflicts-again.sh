#!/usr/bin/env bash
# Linux: a port that bind() has granted can be refused by listen(), when SO_REUSEPORT was taken away in between.
#
# Guess: SO_REUSEPORT counts at bind(). A server that moves from 127.0.0.1:PORT to 0.0.0.0:PORT without a gap sets the option on both
# sockets for the bind, then clears it on the new one, so that nobody else can share the port, and listens.
# Seen: bind() grants the address, and listen() answers EADDRINUSE: it looks for conflicts once more, with the options as they are at
# that moment. With the option set until after listen(), both sockets listen, and the option may go then.
# Versions: Linux 6.18 (inet_csk_listen_start calls get_port again), Python 3.11 as the caller.
# Output seen:
#   bind: granted; listen without the option: Address already in use; listen with it: fine
set -euo pipefail
python3 - <<'PY'
import errno, socket, sys

def make():
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made

old = make()
old.bind(("127.0.0.1", 0))
old.listen()
new = make()
new.bind(("0.0.0.0", old.getsockname()[1]))
new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
try:
    new.listen()
    sys.exit("changed: expected listen without the option to fail")
except OSError as error:
    words = error.strerror
    if error.errno != errno.EADDRINUSE:
        sys.exit(f"changed: expected EADDRINUSE, got {error}")
new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
new.listen()
print(f"bind: granted; listen without the option: {words}; listen with it: fine")
print("still so")
PY
