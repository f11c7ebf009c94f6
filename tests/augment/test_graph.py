"""What augmentations of graphs leave out, and what they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.data.graphs import check_graphs
from jaxssl.errors import InputError
from tests.graph_cases import toy_graph

KEY = jax.random.key(0)


@pytest.fixture
def graph():
  return jax.tree.map(jnp.asarray, toy_graph(np.random.default_rng(0), 7))


def test_edges_are_dropped_and_nothing_else_changes(graph):
  got = augment.drop_edges(KEY, graph, rate=0.5)
  assert 0 < got.edge_mask.sum() < graph.edge_mask.sum()
  assert not (got.edge_mask & ~graph.edge_mask).any()
  np.testing.assert_array_equal(got.nodes, graph.nodes)
  whole = augment.drop_edges(KEY, graph, rate=0.0)
  np.testing.assert_array_equal(whole.edge_mask, graph.edge_mask)


def test_one_mask_of_features_for_all_nodes(graph):
  got = augment.mask_features(jax.random.key(2), graph, rate=0.5)
  zero = (got.nodes == 0).all(axis=0)
  assert 0 < zero.sum() < 6
  kept = ~np.asarray(zero)
  np.testing.assert_array_equal(got.nodes[:, kept], graph.nodes[:, kept])


def test_nodes_leave_with_their_edges(graph):
  got = augment.mask_nodes(KEY, graph, rate=0.3)
  assert got.node_mask.sum() == 5  # of 7, floor(2.1) are dropped
  check_graphs(jax.tree.map(lambda x: x[None], got))
  np.testing.assert_array_equal(got.nodes[~got.node_mask], 0)


def test_noise_replaces_the_features_of_a_share(graph):
  got = augment.noise_features(KEY, graph, rate=0.3)
  changed = (got.nodes != graph.nodes).any(axis=1)
  assert changed.sum() == 2
  assert not changed[7]  # padding


def test_a_subgraph_is_connected_and_of_its_size(graph):
  got = augment.subgraph(KEY, graph, share=0.6)
  assert got.node_mask.sum() == 4
  check_graphs(jax.tree.map(lambda x: x[None], got))
  inside = np.asarray(got.edges)[np.asarray(got.edge_mask)]
  assert set(inside.ravel()) == set(np.flatnonzero(got.node_mask))


def test_shuffled_nodes_keep_the_edges_and_the_padding(graph):
  got = augment.shuffle_nodes(KEY, graph)
  np.testing.assert_array_equal(got.edge_mask, graph.edge_mask)
  np.testing.assert_array_equal(got.nodes[7], 0)
  assert not np.array_equal(got.nodes, graph.nodes)
  rows = lambda x: sorted(map(tuple, np.asarray(x).tolist()))
  assert rows(got.nodes) == rows(graph.nodes)


def test_views_of_graphcl_are_drawn_per_graph(graph):
  keys = jax.random.split(KEY, 16)
  view = augment.graphcl_view(rate=0.3, share=0.5)
  got = jax.jit(jax.vmap(view, in_axes=(0, None)))(keys, graph)
  kinds = {
    (int(n), int(e), bool((x != graph.nodes).any()))
    for n, e, x in zip(
      got.node_mask.sum(1), got.edge_mask.sum(1), got.nodes, strict=True
    )
  }
  assert len({nodes for nodes, _, _ in kinds}) == 3  # all, without some, a subgraph
  check_graphs(got)


def test_rates_are_checked(graph):
  with pytest.raises(InputError, match="from 0 to below 1"):
    augment.drop_edges(KEY, graph, rate=1.0)
  with pytest.raises(InputError, match="from 0 to below 1"):
    augment.grace_view(edges=0.1, features=-0.1)
