"""What a compiled program does, read from its text, with every turn of its loops.

XLA's own analysis of costs counts a loop as one turn.
"""

import collections
import functools
import math
import re
from typing import Any, NamedTuple

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
WIDTHS = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f64": 8, "s64": 8}
HEAD = re.compile(r"^(?:ENTRY )?%?([^\s(]+) \(.*\{$")
LINE = re.compile(r"^\s+(?:ROOT )?%?(\S+) = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$")
LIBRARY = re.compile(r'custom_call_target="[^"]*(gemm|matmul|conv)', re.IGNORECASE)
UNWRITTEN = re.compile(  # names of what is there, and copies to memory on the chip
  "parameter|tuple|get-tuple-element|bitcast|constant|while|custom-call|.*-(start|done)"
)


class Line(NamedTuple):
  """An instruction: the name and the type of its result, what it is, what follows."""

  name: str
  type: str
  kind: str
  rest: str


class Work(NamedTuple):
  """What a program does on one device.

  Attributes:
    flops: arithmetic.
    bytes_accessed: traffic between memory and chip.
    collectives: kind -> {"count": int, "bytes": int}, the bytes that they return.
  """

  flops: float
  bytes_accessed: float
  collectives: dict[str, dict[str, int]]


def work(compiled: Any) -> Work:
  """Returns what a compiled program does.

  FLOPs and bytes are XLA's, times the ratio of all turns to one turn of each loop in
  matrix products and in what is written.

  Args:
    compiled: of `jax.jit(f).lower(...).compile()`.
  """
  text, cost = compiled.as_text(), compiled.cost_analysis()
  cost = cost[0] if isinstance(cost, list) else cost
  parts = computations(text)
  times = turns(parts)
  fused = {name for x in _lines(parts) if x.kind == "fusion" for name in _callees(x)}
  outside = {name: lines for name, lines in parts.items() if name not in fused}
  return Work(
    cost.get("flops", 0.0) * _ratio(parts, _multiplied, times),
    cost.get("bytes accessed", 0.0)
    * _ratio(outside, functools.partial(_written, parts), times),
    _collectives(parts, times),
  )


def computations(text: str) -> dict[str, list[Line]]:
  """Returns a program's computations in their order, callees first, the entry last."""
  found, lines = {}, []
  for line in text.splitlines():
    if head := HEAD.match(line):
      lines = found.setdefault(head[1], [])
    elif match := LINE.match(line):
      lines.append(Line(*match.groups()))
  return found


def turns(parts: dict[str, list[Line]]) -> dict[str, int]:
  """Returns how often each computation runs.

  A loop makes as many turns as the compiler says, else as the largest number that its
  condition names, else one; every branch of a choice is taken for taken.
  """
  times = collections.Counter(list(parts)[-1:])
  for name in reversed(parts):
    for line in parts[name]:
      for callee in _callees(line):
        times[callee] += times[name] * _trips(line, parts)
  return times


def collectives(text: str) -> dict[str, dict[str, int]]:
  """Counts the collectives of a compiled program, and the bytes that they return.

  Args:
    text: `compiled.as_text()`.

  Returns:
    kind -> {"count": int, "bytes": int} of one device.
  """
  parts = computations(text)
  return _collectives(parts, turns(parts))


def _collectives(parts, times):
  found = collections.defaultdict(lambda: {"count": 0, "bytes": 0})
  for name, lines in parts.items():
    for kind, size in filter(None, map(_collective, lines)):
      found[kind]["count"] += times[name]
      found[kind]["bytes"] += times[name] * size
  return dict(found)


def _lines(parts):
  return (line for lines in parts.values() for line in lines)


def _callees(line):
  one = re.findall(
    r"(?:body|condition|calls|to_apply|(?:true|false)_computation)=%?([^\s,)}]+)",
    line.rest,
  )
  some = re.findall(r"(?:branch_computations|called_computations)=\{(.*?)\}", line.rest)
  return {*one, *(name.strip(" %") for names in some for name in names.split(","))}


def _trips(line, parts):
  if line.kind != "while":
    return 1
  if known := re.search(r'known_trip_count":\{"n":"(\d+)"', line.rest):
    return int(known[1])
  condition = re.search(r"condition=%?([^\s,)}]+)", line.rest)[1]
  limits = [
    int(x.rest.partition(")")[0])
    for x in parts[condition]
    if x.kind == "constant" and x.type.startswith("s32[]")
  ]
  return max([1, *limits])


def _ratio(parts, weight, times):
  """A program's weight to what it is with one turn of each loop."""
  once = {name: weight(lines) for name, lines in parts.items()}
  whole = sum(once.values())
  return sum(times[n] * x for n, x in once.items()) / whole if whole else 1.0


def _multiplied(lines):
  """Multiplications of matrix products: m k n is the geometric mean of the three sizes.

  Of a convolution it is too little by the side of its kernel, of products over a batch
  too much by the batch's root: good for shares.
  """
  sizes = {x.name: _elements(x.type) for x in lines}
  total = 0.0
  for line in lines:
    if line.kind in ("dot", "convolution") or LIBRARY.search(line.rest):
      names = re.findall(r"%([^\s,)]+)", line.rest.partition(")")[0])[:2]
      total += math.prod(sizes.get(x, 1) for x in (line.name, *names)) ** 0.5
  return total


def _written(parts, lines):
  return sum(_update(parts, x, lines) for x in lines if not UNWRITTEN.fullmatch(x.kind))


def _update(parts, line, lines):
  """Bytes that an instruction writes; of an array changed in place, of that part."""
  if line.kind == "fusion":
    lines = parts[min(_callees(line))]
    inner = lines[-1]
  else:
    inner = line
  if inner.kind != "dynamic-update-slice":
    return _bytes(line.type)
  changed = re.findall(r"%([^\s,)]+)", inner.rest)[1]
  return next((_bytes(x.type) for x in lines if x.name == changed), 0)


def _collective(line):
  """Its kind and the bytes that it returns; None for another instruction."""
  kind, start = line.kind.removesuffix("-start"), line.kind.endswith("-start")
  if kind not in KINDS:
    return None
  inside = start and kind != "all-reduce"  # (operands, results, ...)
  return kind, _bytes(_parts(line.type)[1] if inside else line.type)


def _parts(shapes):
  """The parts of a tuple type such as "(f32[8,4]{1,0}, (bf16[3], u32[]))"."""
  depth, parts = 0, [""]
  for letter in shapes[1:-1]:
    depth += (letter in "([{") - (letter in ")]}")
    if letter == "," and not depth:
      parts.append("")
    else:
      parts[-1] += letter
  return parts


def _arrays(shapes):
  """The element types and the sizes of a type, all parts of a tuple."""
  for kind, dims in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", shapes):
    yield kind, math.prod(int(d) for d in dims.split(",") if d)


def _elements(shapes):
  return sum(size for _, size in _arrays(shapes))


def _bytes(shapes):
  return sum(WIDTHS.get(kind, 4) * size for kind, size in _arrays(shapes))
