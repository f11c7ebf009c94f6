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
  *names, port, token = text.split()
  made = socket.create_connection((names[-1], int(port)), SOON)
  return made, bytes.fromhex(token)


def test_a_connection_that_ends_without_goodbye_is_a_lost_process():
  texts, lost = queue.Queue(), threading.Event()
  with process(True, texts, lost):
    other, token = connection_to(texts.get())
    other.sendall(token)
    assert not lost.wait(0.2)
    other.close()  # as the kernel does for a process that was killed
    assert lost.wait(SOON)


def test_a_stranger_may_come_and_go():
  texts, lost = queue.Queue(), threading.Event()
  with process(True, texts, lost):
    other, token = connection_to(texts.get())
    other.sendall(bytes(len(token)))
    other.close()
    assert not lost.wait(0.5)
