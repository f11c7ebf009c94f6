"""Every test runs on 8 forced CPU devices, with JAX at its strictest."""

import gc
import os
import pathlib
import tempfile
from importlib import metadata

os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "")
  + " --xla_force_host_platform_device_count=8"
  + " --xla_backend_optimization_level=0"  # compiling is most of the suite's time
)
if metadata.version("jaxlib").startswith("0.10."):  # 0.11 no longer knows this one
  os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

CACHE = pathlib.Path(
  os.environ.get(
    "JAXSSL_TEST_CACHE", pathlib.Path(tempfile.gettempdir()) / "jaxssl-test-cache"
  )
)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  """Lets `pytest -m all` select every test, the slow ones included."""
  for item in items:
    item.add_marker(pytest.mark.all)


MAPPINGS = 30_000  # every compiled program maps memory; Linux allows 65,530 a process
EVERY = 20  # tests


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
  """Forgets compiled programs before a process has too many, which would kill it."""
  count = item.session.stash.setdefault(DONE, 0) + 1
  item.session.stash[DONE] = count
  if count % EVERY == 0 and _mappings() > MAPPINGS:
    jax.clear_caches()
    gc.collect()


DONE = pytest.StashKey[int]()


def _mappings():
  maps = pathlib.Path("/proc/self/maps")
  return maps.read_bytes().count(b"\n") if maps.exists() else 0


@pytest.fixture
def collected():
  """Collects garbage while the test's own warning filters still hold."""
  yield
  gc.collect()


STRICT = ("augment", "contracts", "evals", "losses", "models", "ops")


@pytest.fixture(autouse=True)
def strict_types(request):
  """No implicit promotion of types in what is ours; optax's Adam relies on it."""
  if request.path.parent.name not in STRICT:
    yield
    return
  with jax.numpy_dtype_promotion("strict"):
    yield
