"""Connections that tell when a process of a run is gone."""

import contextlib
import queue
import socket
import threading

import pytest

from jaxssl import lifeline

SOON = 10  # seconds


@contextlib.contextmanager
def process(first, texts, lost):
  """One of two processes, as a thread that runs until it is told to leave."""

  def agreed(text):
    if first:
      texts.put(text)
      return text
    return texts.get(timeout=SOON)

  leave, inside = threading.Event(), threading.Event()

  def run():
    with lifeline.held(first, agreed, lost.set):
      inside.set()
      leave.wait(SOON)

  thread = threading.Thread(target=run)
  thread.start()
  try:
    assert inside.wait(SOON)
    yield
  finally:
    leave.set()
    thread.join(SOON)


@pytest.mark.parametrize("order", ["the first", "the second"])
def test_who_leaves_is_not_lost(order):
  texts, lost = queue.Queue(), [threading.Event(), threading.Event()]
  with contextlib.ExitStack() as outer, contextlib.ExitStack() as inner:
    stacks = (inner, outer) if order == "the first" else (outer, inner)
    for number, stack in enumerate(stacks):
      stack.enter_context(process(not number, texts, lost[number]))
  assert not any(event.wait(0.2) for event in lost)


def connection_to(text):
  """Another process, as far as the first one sees it."""
  *names, port, token = text.split()
  made = socket.create_connection((names[-1], int(port)), SOON)
  made.sendall(bytes.fromhex(token))
  assert made.recv(1) == lifeline.WELCOME
  return made


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_who_fails_alone_is_lost_and_who_fails_with_all_is_not(error):
  """`KeyError` is what all processes raise; the socket outlives the others."""
  texts, left = queue.Queue(), []

  def fail():
    with lifeline.held(True, texts.put, lambda: None, (KeyError,)):
      left.append(connection_to(texts.get()))
      raise error

  with pytest.raises(error):
    fail()
  left[0].settimeout(0.5)
  with left[0], contextlib.suppress(TimeoutError):
    assert (left[0].recv(1) == lifeline.BYE) == (error is KeyError)


def test_a_connection_that_ends_without_goodbye_is_a_lost_process():
  texts, lost = queue.Queue(), threading.Event()
  with process(True, texts, lost):
    other = connection_to(texts.get())
    assert not lost.wait(0.2)
    other.close()  # as the kernel does for a process that was killed
    assert lost.wait(SOON)


def test_a_stranger_may_come_and_go():
  texts, lost = queue.Queue(), threading.Event()
  with process(True, texts, lost):
    *names, port, token = texts.get().split()
    with socket.create_connection((names[-1], int(port)), SOON) as stranger:
      stranger.sendall(bytes(len(token) // 2))
      assert not stranger.recv(1)  # shown the door
    assert not lost.wait(lifeline.PAUSE + 0.5)
