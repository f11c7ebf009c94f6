"""Methods on graphs: what is hidden, what doesn't count, and one graph in the loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl import methods, models, registry
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh
from jaxssl.methods.graphmae import hide_nodes
from tests import graph_cases
from tests.models.test_gnn import padded

KEYS = jax.random.split(jax.random.key(1), 4)


def loss_of(method, batch, seed=0):
  params, extra = method.init(jax.random.key(seed), batch)
  outputs, extra = method.forward(params, extra, batch, KEYS, jnp.int32(0))
  return method.objective(params, extra, outputs, jnp.int32(0))[0]


def test_half_of_the_nodes_that_are_there_are_hidden():
  graph = jax.tree.map(lambda x: x[1], graph_cases.batch(rows=4)["input"])  # 6 nodes
  found = hide_nodes(KEYS[0], graph, ratio=0.5, replaced=0.4)
  hidden, token = np.asarray(found.hidden), np.asarray(found.token)
  assert hidden.sum() == 3 and token.sum() == 2  # floor(0.4 * 3) = 1 is replaced
  assert not hidden[6:].any()
  np.testing.assert_array_equal(found.graph.nodes[token], 0)
  np.testing.assert_array_equal(found.graph.nodes[~hidden], graph.nodes[~hidden])
  (place,) = np.flatnonzero(hidden & ~token)
  assert found.graph.nodes[place].tolist() in graph.nodes[:6].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("remask", [True, False])
def test_the_decoder_sees_no_code_of_hidden_nodes(remask):
  """Without edges a hidden node's prediction can hang on its code alone."""
  x = graph_cases.batch(rows=2)["input"]
  alone = x._replace(edge_mask=jnp.zeros_like(x.edge_mask))
  hidden = x.node_mask & (jnp.arange(8) < 3)[None]
  net = models.GraphMAE(models.GAT((8,), 2), models.GAT((6,), 1, "none"), remask)

  def predict(params, nodes):
    asked = models.HiddenNodes(alone._replace(nodes=nodes), hidden, hidden & False)
    return net.apply(params, asked, train=False)

  asked = models.HiddenNodes(alone, hidden, hidden)
  params = net.init(jax.random.key(0), asked, train=True)
  apart = predict(params, x.nodes + 1.0) - predict(params, x.nodes)
  moved = np.abs(apart).max(-1) > 1e-4
  assert moved[x.node_mask & ~hidden].all()
  assert moved[hidden].any() != remask


@pytest.mark.slow
def test_the_loss_of_a_graph_does_not_see_its_padding():
  """DGI without corruption draws nothing whose shape is the padding's."""
  batch = graph_cases.batch(rows=4)
  net = models.InfoMax(models.GCN((8,)))
  turned = lambda key, graph: graph._replace(nodes=-graph.nodes)
  method = methods.dgi(net, graph_cases.same, corrupt=turned)
  more = {**batch, "input": padded(batch["input"])}
  np.testing.assert_allclose(loss_of(method, more), loss_of(method, batch), rtol=1e-5)


@pytest.mark.slow
def test_losses_start_where_they_should():
  batch = graph_cases.batch(rows=4)
  net = models.NodeProjector(models.GCN((8,)), lambda x, **_: jnp.ones_like(x))
  views = graph_cases.augment.two_views(graph_cases.augment.as_it_is)
  loss = loss_of(methods.grace(net, views), batch)
  expected = np.mean([np.log(2 * n - 1) for n in (5, 6, 7, 8)])
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_bad_shares_are_named():
  for options in ({"ratio": 1.0}, {"replaced": -0.1}):
    with pytest.raises(InputError, match="share"):
      methods.graphmae(None, None, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dgi", "grace"])
def test_one_graph_goes_through_the_whole_loop(name, tmp_path):
  """A batch of one row: trains, logs, scores the nodes and reports."""
  rng = np.random.default_rng(0)
  labels = np.arange(40) % 2
  edges = np.stack([np.arange(38), np.arange(38) + 2])  # joins one class
  x = rng.normal(size=(40, 5)) + labels[:, None]
  np.savez(tmp_path / "g.npz", x=x, edges=edges, y=labels)
  settings = {"data": str(tmp_path / "g.npz"), "width": 8, "steps": 2}
  built = registry.build(name, **settings, log_every=1)
  mesh = data_mesh(jax.devices()[:1])
  result = jaxssl.fit(built, tmp_path / "run", mesh=mesh, say=lambda _: None)
  assert [row["features"] for row in result.table.rows][-1] == "trained encoder"
