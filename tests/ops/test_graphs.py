"""Sums over edges against dense matrices, and walks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import graphs
from tests.graph_cases import toy_graph


@pytest.fixture
def graph():
  return jax.tree.map(jnp.asarray, toy_graph(np.random.default_rng(0), 6))


def adjacency(graph):
  """A[receiver, sender], as a matrix."""
  matrix = np.zeros((len(graph.nodes),) * 2, np.float32)
  for (sender, receiver), there in zip(graph.edges, graph.edge_mask, strict=True):
    matrix[receiver, sender] += float(there)
  return matrix


def test_propagate_is_a_product_with_the_matrix(graph):
  weights = jnp.tile(graph.edge_mask[:, None].astype(jnp.float32), (1, 2))
  x = jax.random.normal(jax.random.key(0), (8, 2, 3))
  expected = np.einsum("rs,shd->rhd", adjacency(graph), x)
  got = graphs.propagate(x, weights, graph.edges)
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_gradient_of_propagate_is_that_of_the_plain_sum(graph):
  x, w = jax.random.normal(jax.random.key(0), (8, 2, 3)), jnp.ones((24, 2))
  g = jax.random.normal(jax.random.key(1), x.shape)

  def plain(x, w):
    return graphs.sum_at(x[graph.edges[:, 0]] * w[..., None], graph.edges[:, 1], 8)

  expected = jax.vjp(plain, x, w)[1](g)
  got = jax.vjp(lambda x, w: graphs.propagate(x, w, graph.edges), x, w)[1](g)
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_symmetric_weights_are_the_normalised_adjacency(graph):
  matrix = adjacency(graph) + np.eye(8)
  scale = 1 / np.sqrt(matrix.sum(1))
  expected = scale[:, None] * matrix * scale[None]
  weights, own = graphs.symmetric_weights(graph)
  np.testing.assert_allclose(own, np.diag(expected), atol=1e-6)
  at = expected[graph.edges[:, 1], graph.edges[:, 0]]
  np.testing.assert_allclose(weights, np.where(graph.edge_mask, at, 0), atol=1e-6)


def test_a_node_without_edges_is_its_own_mean(graph):
  alone = graph._replace(edge_mask=jnp.zeros_like(graph.edge_mask))
  np.testing.assert_allclose(graphs.degrees(alone), 0)
  np.testing.assert_allclose(graphs.neighbour_mean(graph.nodes, alone), graph.nodes)


def path_graph(nodes):
  """0 - 1 - 2 - ... in one line."""
  pairs = [(i, i + 1) for i in range(nodes - 1)]
  pairs += [(b, a) for a, b in pairs]
  edges = jnp.asarray(sorted(pairs, key=lambda e: e[1]), jnp.int32)
  full = jnp.ones(len(edges), bool)
  return graphs.Graph(jnp.ones((nodes, 1)), edges, full, jnp.ones(nodes, bool))


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_goes_beyond_the_first_neighbourhood(seed):
  """On a line a node has 2 neighbours; a walk of 6 nodes must enter theirs."""
  seen = graphs.random_walk(
    jax.random.key(seed), path_graph(12), size=jnp.int32(6), most=6
  )
  places = np.flatnonzero(seen)
  assert len(places) == 6
  assert places[-1] - places[0] == 5  # without gaps


def test_a_walk_stays_in_its_component(graph):
  cut = graphs.without_nodes(path_graph(9), jnp.arange(9) != 4)
  seen = graphs.random_walk(jax.random.key(0), cut, size=jnp.int32(8), most=8)
  assert np.flatnonzero(seen).tolist() in ([0, 1, 2, 3], [5, 6, 7, 8])


def test_ranks_are_a_permutation_of_the_nodes_that_are_there():
  mask = jnp.asarray([True, False, True, True, False])
  ranks = np.asarray(graphs.node_ranks(jax.random.key(0), mask))
  assert sorted(ranks[np.asarray(mask)]) == [0, 1, 2]
  assert int(graphs.share_of(mask, 0.7)) == 2
