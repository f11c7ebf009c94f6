"""Graph nets: against dense matrices, blind to padding and to the order of nodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.ops.graphs import Graph
from tests.graph_cases import EDGES, FEATURES, NODES, batch, toy_graph

NETS = {
  "gcn": models.GCN((12, 10)),
  "gin": models.GIN((8, 8)),
  "gat": models.GAT((12, 8), heads=2),
  "gat_one_head": models.GAT((9,), heads=1, activation="none"),
}
names = pytest.mark.parametrize("name", NETS)


def graphs(rows=4):
  return batch(rows=rows)["input"]


def run(net, x, train=False):
  variables = net.init(jax.random.key(0), x, train=True)
  state = variables if train else {**variables}
  (out, seen) = net.apply(
    state, x, train=train, mutable=["intermediates", "batch_stats"]
  )
  return out, seen["intermediates"]["patches"][0], seen


def padded(x: Graph) -> Graph:
  """The same graphs with more padding."""
  pad = lambda a, n, **kw: np.pad(a, [(0, 0), (0, n)] + [(0, 0)] * (a.ndim - 2), **kw)
  edges = np.concatenate([x.edges, np.full((len(x.edges), 5, 2), NODES + 2)], axis=1)
  more = pad(x.nodes, 3), edges.astype(np.int32), pad(x.edge_mask, 5)
  return jax.tree.map(jnp.asarray, Graph(*more, pad(x.node_mask, 3)))


@pytest.mark.slow
@names
def test_padding_changes_nothing(name):
  x = graphs()
  for train in (False, True):
    out, nodes, _ = run(NETS[name], x, train)
    more, more_nodes, _ = run(NETS[name], padded(x), train)
    np.testing.assert_allclose(more, out, atol=1e-5)
    np.testing.assert_allclose(more_nodes[:, :NODES], nodes, atol=1e-5)
  np.testing.assert_array_equal(nodes[~x.node_mask], 0)


@pytest.mark.slow
@names
def test_nodes_in_another_order_have_the_same_features(name):
  one = toy_graph(np.random.default_rng(3), NODES)
  order = np.random.default_rng(4).permutation(NODES)
  place = np.argsort(order)
  edges = place[one.edges[one.edge_mask]]
  edges = edges[np.argsort(edges[:, 1], kind="stable")]
  rest = np.full((EDGES - len(edges), 2), NODES - 1)
  moved = Graph(
    one.nodes[order],
    np.concatenate([edges, rest]).astype(np.int32),
    one.edge_mask,
    one.node_mask[order],
  )
  row = lambda g: jax.tree.map(lambda a: jnp.asarray(a)[None], g)
  out, nodes, _ = run(NETS[name], row(one))
  again, moved_nodes, _ = run(NETS[name], row(moved))
  np.testing.assert_allclose(again, out, atol=1e-5)
  np.testing.assert_allclose(moved_nodes[0], nodes[0][order], atol=1e-5)


@pytest.mark.slow
@names
def test_isolated_nodes_are_finite(name):
  x = graphs()
  alone = x._replace(edge_mask=jnp.zeros_like(x.edge_mask))

  def total(params):
    nodes = NETS[name].apply(params, alone, train=False)
    return jnp.sum(nodes**2)

  params = NETS[name].init(jax.random.key(0), x, train=True)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(jax.grad(total)(params)))


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_the_softmax_over_a_dense_matrix(heads):
  """Both where sums come after the product (2 heads) and before it (1 head)."""
  x = graphs(1)
  net = models.GAT((12,), heads=heads, activation="none")
  variables = net.init(jax.random.key(0), x, train=True)
  p = variables["params"]["layer0"]
  h = np.einsum("ni,iho->nho", x.nodes[0], p["kernel"].reshape(FEATURES, heads, -1))
  sent, received = (np.einsum("nho,ho->nh", h, p[n]) for n in ("sender", "receiver"))
  joined = np.eye(NODES, dtype=bool)
  joined[tuple(np.asarray(x.edges[0])[np.asarray(x.edge_mask[0])].T[::-1])] = True
  logits = received[:, None] + sent[None]
  logits = np.where(logits > 0, logits, 0.2 * logits)
  weights = np.where(joined[..., None], np.exp(logits), 0)
  weights /= weights.sum(1, keepdims=True)
  expected = np.einsum("rsh,sho->rho", weights, h).reshape(NODES, -1)
  nodes = net.apply(variables, x, train=False, method="nodes")[0]
  mask = np.asarray(x.node_mask[0])
  np.testing.assert_allclose(nodes[mask], expected[mask], atol=1e-5)


def test_attention_starts_as_in_dgl():
  """Xavier-normal, gain sqrt(2); the vectors as torch has it of [1, heads, each]."""
  width, heads, inputs = 1024, 4, 512
  x = graphs(1)._replace(nodes=jnp.ones((1, NODES, inputs)))
  net = models.GAT((width,), heads=heads)
  p = net.init(jax.random.key(0), x, train=True)["params"]["layer0"]
  each = width // heads
  kernel, vectors = (4 / (inputs + width)) ** 0.5, (4 / (heads * each + each)) ** 0.5
  np.testing.assert_allclose(p["kernel"].std(), kernel, rtol=0.01)
  for name in ("sender", "receiver"):
    np.testing.assert_allclose(p[name].std(), vectors, rtol=0.1)


def test_batch_norm_has_the_moments_of_nodes_that_are_there():
  x, mask = graphs().nodes + 3.0, graphs().node_mask
  norm = models.NodeBatchNorm(mask=mask)
  variables = norm.init(jax.random.key(0), x, train=True)
  out, new = norm.apply(variables, x, train=True, mutable=["batch_stats"])
  real = np.asarray(x)[np.asarray(mask)]
  found = new["batch_stats"]
  np.testing.assert_allclose(found["mean"], 0.1 * real.mean(0), atol=1e-5)
  np.testing.assert_allclose(found["var"], 0.9 + 0.1 * real.var(0), atol=1e-5)
  np.testing.assert_allclose(np.asarray(out)[np.asarray(mask)].mean(0), 0, atol=1e-5)


@pytest.mark.slow
def test_dropout_draws_from_the_keys_of_the_rows():
  net = models.GAT((8,), heads=2, feature_dropout=0.3, attention_dropout=0.3)
  x, keys = graphs(), jax.random.split(jax.random.key(1), 4)
  params = net.init(jax.random.key(0), x, train=True)
  whole = net.apply(params, x, train=True, keys=keys)
  row = lambda i: jax.tree.map(lambda a: a[i : i + 1], x)
  one = net.apply(params, row(2), train=True, keys=keys[2:3])
  np.testing.assert_allclose(one[0], whole[2], atol=1e-6)
  assert not np.allclose(whole, net.apply(params, x, train=False))


@pytest.mark.parametrize("encoder", [models.GCN, models.GIN, models.GAT])
def test_encoders_without_layers_or_channels_are_refused(encoder):
  for widths in ((), (8, 0)):
    with pytest.raises(InputError, match="one at least"):
      encoder(widths)


def test_bad_options_are_named():
  x = graphs(1)
  for net, word in (
    (models.GAT((9,), heads=2), "heads"),
    (models.GCN((4,), activation="rellu"), "relu"),
    (models.GCN((4,), pool="max"), "pool"),
    (models.GIN((4,), norm="group"), "norm"),
  ):
    with pytest.raises(InputError, match=word):
      net.init(jax.random.key(0), x, train=True)


@pytest.mark.parametrize("heads", [5, 0, -1])
def test_heads_must_divide_the_width(heads):
  with pytest.raises(InputError, match=f"12 features do not split into {heads} heads"):
    models.GAT((12,), heads=heads).init(jax.random.key(0), graphs(), train=False)
