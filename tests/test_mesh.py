"""Meshes by their description, and the rule by which a state is split."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from jaxssl.errors import InputError
from jaxssl.mesh import (
  bytes_per_device,
  check_rows,
  make_mesh,
  rows_sharded,
  state_shardings,
)

MESH = make_mesh("data=4,fsdp=2")
STATE = {
  "params": {
    "kernel": jnp.zeros((6, 8)),
    "bias": jnp.zeros(3),
    "odd": jnp.zeros((3, 5)),
  },
  "queue": jnp.zeros((4, 64)),
  "bank": jnp.zeros((5, 64)),
  "key": jax.random.key(0),
}


def specs(**options):
  placed = state_shardings(MESH, STATE, least=1, **options)
  return jax.tree.map(lambda s: s.spec, placed)


def test_the_largest_axis_that_divides_is_split():
  assert specs()["params"] == {"kernel": P(None, "fsdp"), "bias": P(), "odd": P()}


def test_a_queue_is_split_by_rows_or_not_at_all():
  assert specs()["queue"] == P("fsdp")
  several = state_shardings(MESH, {"queue": jnp.zeros((2, 4, 64))})
  assert several["queue"].spec == P(None, "fsdp")
  assert specs()["bank"] == P()


def test_keys_and_small_arrays_stay_whole():
  assert specs()["key"] == P()
  placed = state_shardings(MESH, STATE, least=49)
  assert placed["params"]["kernel"].spec == P()


def test_patterns_come_before_the_rule():
  changed = specs(patterns={"params/ker*": 0, "queue": None})
  assert changed["params"]["kernel"] == P("fsdp")
  assert changed["queue"] == P()


def test_without_fsdp_everything_is_whole():
  placed = state_shardings(make_mesh("data=8"), STATE, least=1)
  assert all(s.spec == P() for s in jax.tree.leaves(placed))


def test_rows_are_split_over_all_devices():
  assert rows_sharded(MESH).shard_shape((16, 3)) == (2, 3)


def test_bytes_per_device_count_shards():
  state = {"a": jnp.zeros((4, 8)), "b": jnp.zeros(3), "key": jax.random.key(0)}
  placed = state_shardings(MESH, state, least=1)
  assert bytes_per_device(placed, state) == 4 * (16 + 3)


@pytest.mark.parametrize(
  ("spec", "says"),
  [
    ("data=3", "takes 3 devices; there are 8"),
    ("dat=8", "Did you mean 'data'"),
    ("data=x", "write it as"),
    ("data=4,data=2", "write it as"),
    ("data=0", "write it as"),
  ],
)
def test_a_mesh_that_cannot_be_is_refused(spec, says):
  with pytest.raises(InputError, match=says):
    make_mesh(spec)


def test_a_pattern_that_fits_nothing_or_does_not_divide_is_refused():
  with pytest.raises(InputError, match="No array"):
    specs(patterns={"params/nothing": 0})
  with pytest.raises(InputError, match="does not split along axis 0 into 2"):
    specs(patterns={"params/odd": 0})


def test_rows_that_do_not_divide_are_refused():
  with pytest.raises(InputError, match="multiple of 8"):
    check_rows(12, MESH)
