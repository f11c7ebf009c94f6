"""What a compiled program does, counted with every turn of its loops."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxssl import hlo, plan, registry
from jaxssl.mesh import make_mesh
from jaxssl.mesh import replicated as everywhere

MATRICES = jnp.ones((6, 32, 32))


def compiled(f, *args):
  return jax.jit(f).lower(*args).compile()


def products(x, matrices, *, loop):
  """Products one after the other, in a loop or not."""
  turn = lambda x, matrix: (jnp.sin(x @ matrix), None)
  if loop:
    return jax.lax.scan(turn, x, matrices)[0]
  return functools.reduce(lambda x, matrix: turn(x, matrix)[0], matrices, x)


@functools.cache
def work_of(loop):
  made = compiled(functools.partial(products, loop=loop), MATRICES[0], MATRICES)
  return hlo.work(made), made.cost_analysis()


def test_every_turn_of_a_loop_counts():
  (looped, once), (flat, whole) = work_of(True), work_of(False)
  assert once["flops"] < whole["flops"] / 4  # XLA counts one turn
  assert looped.flops == pytest.approx(flat.flops, rel=0.05)
  assert flat.flops == whole["flops"]
  assert looped.bytes_accessed > 4 * once["bytes accessed"]


def test_loops_in_loops_multiply():
  twice = lambda x: jax.lax.fori_loop(
    0, 3, lambda _, x: products(x, MATRICES, loop=True), x
  )
  assert hlo.work(compiled(twice, MATRICES[0])).flops == pytest.approx(
    3 * work_of(False)[0].flops, rel=0.05
  )


def test_a_loop_without_a_known_end_is_one_turn():
  until = lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9.0, lambda x: x @ x, x)
  made = compiled(until, MATRICES[0])
  assert hlo.work(made).flops == pytest.approx(made.cost_analysis()["flops"])


def test_a_program_without_products_has_its_arithmetic():
  made = compiled(lambda x: jnp.sin(x) + 1, MATRICES)
  assert hlo.work(made).flops == made.cost_analysis()["flops"]


def test_collectives_in_a_loop_count_each_turn():
  mesh = make_mesh("data=8")
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  x = jax.ShapeDtypeStruct((8, 4), jnp.float32, sharding=rows)

  def total(x):
    turn = lambda total, scale: (total + jnp.sum(jnp.sin(x * total[0]), axis=0), None)
    return jax.lax.scan(turn, jnp.ones(4), jnp.arange(5.0))[0]

  made = jax.jit(total, out_shardings=everywhere(mesh)).lower(x).compile()
  assert hlo.work(made).collectives == {"all-reduce": {"count": 5, "bytes": 5 * 16}}


def test_micro_batches_on_a_chip_count_each():
  """Each goes forward twice, which XLA finds out where they are no loop."""
  mesh = make_mesh("data=8")
  toy = __file__.replace("test_hlo", "toy") + ":toy"
  work = lambda parts, unroll: hlo.work(
    plan.lower(
      registry.build(toy, data="host", batch=64, accumulate=parts), mesh, unroll=unroll
    ).compile()
  )
  looped, flat, single = work(4, False), work(4, True), work(1, False)
  assert single.flops < looped.flops < 1.7 * single.flops
  assert flat.flops < looped.flops


HLO = """
ENTRY %main (x: f32[8,4]) -> f32[8,4] {
  %a = f32[8,4]{1,0} all-reduce(f32[8,4]{1,0} %x), replica_groups={}
  %b = (bf16[2,3]{1,0:T(8,128)(2,1)}, bf16[16,3]{1,0}) all-gather-start(bf16[2,3] %y)
  %c = bf16[16,3]{1,0} all-gather-done((bf16[2,3], bf16[16,3]) %b)
  %d = (f32[5]{0}, f32[]) all-reduce(f32[5]{0} %p, f32[] %q), to_apply=%add
  %e = ((f32[2], s8[3]), (f32[16], s8[24])) all-gather-start(f32[2] %y, s8[3] %z)
  %f = (f32[7]{0}, f32[2,2]{1,0}) all-reduce-start(f32[7] %p, f32[2,2] %q)
  %g = f32[9]{0} all-reduce-start(f32[9] %p), to_apply=%add
  %h = (f32[6]{0}, f32[6]{0}, u32[], u32[]) collective-permute-start(f32[6] %p)
}
"""


def test_collectives_are_counted_with_the_bytes_that_they_return():
  found = hlo.collectives(HLO)
  assert found["all-reduce"] == {"count": 4, "bytes": 4 * (32 + 6 + 11 + 9)}
  assert found["all-gather"] == {"count": 2, "bytes": 2 * 48 + 4 * 16 + 24}
  assert found["collective-permute"] == {"count": 1, "bytes": 4 * 6}
  assert set(found) == {"all-reduce", "all-gather", "collective-permute"}


CHOICE = """
%body (x: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %p = f32[4,4]{1,0} get-tuple-element(%x), index=1
  %m = f32[4,4]{1,0} dot(%p, %p), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%end (x: (s32[], f32[4,4])) -> pred[] {
  %n = s32[]{:T(128)} constant(7)
  ROOT %c = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %x = (s32[], /*index=1*/f32[4,4]{1,0:T(8,128)}) parameter(0)
  ROOT %w = (s32[], f32[4,4]{1,0}) while(%x), condition=%end, body=%body
}
"""


def test_no_loop_is_taken_for_none_and_every_branch_for_taken():
  down = hlo.computations(CHOICE.replace("constant(7)", "constant(0)"))
  assert hlo.turns(down)["body"] == 1
  chosen = "conditional(%x, %a, %b), true_computation=%end, false_computation=%body"
  parts = hlo.computations(
    CHOICE.replace("while(%x), condition=%end, body=%body", chosen)
  )
  assert hlo.turns(parts) == {"main": 1, "end": 1, "body": 1}


def test_turns_are_read_from_the_condition_where_they_are_not_said():
  parts = hlo.computations(CHOICE)
  assert hlo.turns(parts) == {"main": 1, "end": 7, "body": 7}
  assert hlo._multiplied(parts["body"]) == 4**3
