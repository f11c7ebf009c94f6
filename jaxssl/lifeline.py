"""Notices at once when another process of a run is gone.

Processes that wait in a collective for one that was killed would wait until JAX's
heartbeat ends them with a stack trace. So each holds a connection to the first one: the
kernel closes it, whatever ends a process.
"""

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator

TOKEN = 8  # bytes by which the others show that they are of this run
PATIENCE = 10  # seconds for a connection to stand
PAUSE = 2  # seconds in which a process that is failing too may end by itself
WELCOME, BYE = b"+", b"."


class Lifelines:
  """The connections of one process.

  Args:
    lost: called from a thread, once another process is gone without having left.
  """

  def __init__(self, lost: Callable[[], None]):
    self.lost, self.left = lost, threading.Event()
    self.open: list[socket.socket] = []

  def watch(self, connection: socket.socket) -> None:
    """Waits in a thread for the other end to say goodbye, or to be gone.

    A connection that comes when all were left is closed.
    """
    self.open.append(connection)
    if self.left.is_set():
      connection.close()
    else:
      _thread(self._listen, connection)

  def _listen(self, connection):
    try:
      said = connection.recv(len(BYE))
    except OSError:
      said = b""
    if not said and not self.left.wait(PAUSE):
      self.left.set()
      self.lost()

  def leave(self, farewell: bytes) -> None:
    """Closes all connections, with a farewell or, if it is empty, without a word."""
    self.left.set()
    for connection in self.open:
      with contextlib.suppress(OSError), connection:
        connection.sendall(farewell)
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def held(
  first: bool,
  agreed: Callable[[str], str],
  lost: Callable[[], None],
  together: tuple[type[BaseException], ...] = (),
) -> Iterator[None]:
  """Holds the connections of this process while something runs.

  A process that ends what runs, or raises what all raise, says goodbye; after another
  error it hangs up without a word, as if it were gone. Where the first process cannot
  be reached nothing is held: JAX's heartbeat remains.

  Args:
    first: whether this is the process that the others connect to.
    agreed: (text) -> the first process's text, in all processes.
    lost: called from a thread, once another process is gone.
    together: exceptions that all processes raise alike.
  """
  lines = Lifelines(lost)
  server = _serve(agreed, lines) if first else None
  if not first:
    *names, port, token = agreed("").split()
    _connect(names, int(port), bytes.fromhex(token), lines)
  farewell = b""
  try:
    yield
    farewell = BYE
  except together:
    farewell = BYE
    raise
  finally:
    lines.leave(farewell)
    if server is not None:
      _close(server)


def _serve(agreed, lines):
  server, token = socket.create_server(("", 0)), secrets.token_bytes(TOKEN)
  _thread(_accept, server, token, lines)
  agreed(f"{_own_names()} {server.getsockname()[1]} {token.hex()}")
  return server


def _own_names():
  """This machine's name, and the address that it stands for, if any."""
  name = socket.gethostname()
  try:
    return f"{name} {socket.gethostbyname(name)}"
  except OSError:
    return f"{name} 127.0.0.1"


def _accept(server, token, lines):
  """Watches everyone who knows the token, until the server is closed."""
  with contextlib.suppress(OSError):
    while True:
      connection, _ = server.accept()
      connection.settimeout(PATIENCE)
      with contextlib.suppress(OSError):
        if connection.recv(TOKEN, socket.MSG_WAITALL) == token:
          connection.settimeout(None)
          lines.watch(connection)
          connection.sendall(WELCOME)
          continue
      connection.close()


def _close(server):
  """Closes a socket that a thread waits at."""
  with contextlib.suppress(OSError), server:
    server.shutdown(socket.SHUT_RDWR)


def _connect(names, port, token, lines):
  for name in names:
    with contextlib.suppress(OSError):
      connection = socket.create_connection((name, port), PATIENCE)
      if _welcomed(connection, token):
        connection.settimeout(None)
        return lines.watch(connection)
      connection.close()


def _welcomed(connection, token):
  try:
    connection.sendall(token)
    return connection.recv(len(WELCOME)) == WELCOME
  except OSError:
    return False


def _thread(run, *args):
  threading.Thread(target=run, args=args, daemon=True).start()
