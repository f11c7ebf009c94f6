"""Language models: what they predict, what they never see, what they show."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses, methods, models
from jaxssl.data.tokenizers import MASK
from jaxssl.errors import InputError
from jaxssl.methods.hidden_tokens import TokenErrors
from tests import text_cases
from tests.text_cases import pairs, texts

KEYS = jax.random.split(jax.random.key(7), 16)
CASES = {name: (make, batch) for name, make, _, batch in text_cases.ROWS}


@functools.cache
def started(name):
  make, batch = CASES[name]
  method = make()
  params, extra = jax.jit(method.init)(jax.random.key(0), batch())
  return method, params, extra


@functools.cache
def forward(name):
  return jax.jit(started(name)[0].forward)


def loss(name, batch, keys=KEYS):
  method, params, extra = started(name)
  outputs, extra = forward(name)(params, extra, batch, keys, jnp.int32(0))
  return outputs, method.objective(params, extra, outputs, jnp.int32(0))


@pytest.mark.slow
def test_gpt_predicts_every_token_but_the_first_and_padding():
  batch = texts()
  outputs, (value, _) = loss("gpt", batch)
  np.testing.assert_array_equal(outputs.count, text_cases.LENGTH - 2)
  _, params, _ = started("gpt")
  net = models.CausalNet(text_cases.transformer(causal=True))
  logits = net.apply({"params": params}, batch["input"], train=False)
  logs = jax.nn.log_softmax(logits[:, :-2])
  labels = batch["input"][:, 1:-1]
  expected = -np.mean(np.take_along_axis(np.asarray(logs), labels[..., None], 2))
  np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_gpt_refuses_a_net_that_sees_ahead():
  with pytest.raises(InputError, match="causal=True"):
    methods.gpt(models.CausalNet(text_cases.transformer()))


def test_roberta_asks_for_the_hidden_tokens_alone():
  outputs, (value, (_, metrics)) = loss("roberta", texts())
  assert set(np.asarray(outputs.count)) <= {3.0, 4.0}  # 0.3 of 11, up or down
  np.testing.assert_allclose(
    value, outputs.error.sum() / outputs.count.sum(), rtol=1e-6
  )
  np.testing.assert_allclose(metrics["asked_tokens"], outputs.count.mean())


def test_masks_differ_from_step_to_step():
  one, two = (
    loss("roberta", texts(), jax.random.split(jax.random.key(i), 16))[0].error
    for i in (0, 1)
  )
  assert np.abs(one - two).min() > 0


def test_berts_loss_is_the_sum_of_its_parts():
  outputs, (value, (_, metrics)) = loss("bert", pairs())
  tokens = outputs.tokens.error.sum() / outputs.tokens.count.sum()
  np.testing.assert_allclose(value, tokens + outputs.next.mean(), rtol=1e-6)
  np.testing.assert_allclose(metrics["token_loss"], tokens, rtol=1e-6)
  np.testing.assert_allclose(metrics["next_loss"], outputs.next.mean(), rtol=1e-6)
  assert 0.0 <= metrics["next_accuracy"] <= 1.0


def test_berts_labels_are_those_of_the_pairs():
  """Turning all labels turns the loss of each pair to that of the other class."""
  batch = pairs()
  turned = batch["input"]._replace(random=1 - batch["input"].random)
  one, two = (loss("bert", {**batch, "input": x})[0] for x in (batch["input"], turned))
  np.testing.assert_allclose(np.exp(-one.next) + np.exp(-two.next), 1.0, rtol=1e-5)
  np.testing.assert_array_equal(one.tokens.error, two.tokens.error)
  np.testing.assert_allclose(one.right + two.right, 1.0)


@pytest.mark.parametrize("name", CASES)
def test_what_is_shown_are_columns_of_tokens(name):
  method, params, extra = started(name)
  batch = CASES[name][1]()
  ((caption, shown),) = jax.jit(method.show)(params, extra, batch, KEYS).items()
  ids = shown.ids if name == "bert" else shown
  original = batch["input"].ids if name == "bert" else batch["input"]
  columns = len(caption.split(" | "))
  assert ids.shape == (16, columns, text_cases.LENGTH)
  np.testing.assert_array_equal(ids[:, 0], original)
  same = {jax.tree.leaves(x)[0].shape[:2] for x in jax.tree.leaves(shown)}
  assert same == {(16, columns)}


def test_predictions_are_shown_where_tokens_were_hidden():
  method, params, extra = started("roberta")
  shown = np.asarray(*jax.jit(method.show)(params, extra, texts(), KEYS).values())
  original, masked, predicted = shown.transpose(1, 0, 2)
  hidden = masked == MASK
  assert hidden.any()
  assert (predicted[original == 0] == 0).all()
  assert (predicted[hidden] != MASK).any()


@pytest.mark.parametrize("name", CASES)
def test_a_rows_part_of_the_loss_is_its_own(name):
  _, batch = CASES[name]
  whole, _ = loss(name, batch())
  half, _ = loss(name, jax.tree.map(lambda x: x[:8], batch()), KEYS[:8])
  part = jax.tree.map(lambda x: x[:8], whole)
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), part, half)


def test_the_rate_of_a_loss_without_hidden_tokens_is_zero():
  errors = losses.masked_language_modelling(
    jnp.zeros((2, 3, 5)), jnp.full((2, 3), losses.IGNORED)
  )
  value, _ = text_cases.make_roberta().objective(
    None, None, TokenErrors(*errors, errors[1]), 0
  )
  assert value == 0
