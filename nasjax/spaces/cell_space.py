"""A space of cells, and checks of its parts; see `nasjax.spaces`."""

import collections
import dataclasses
import functools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Architectures are uint8: O marks an absent edge, O + 1 a query not made yet.
MOST_OPERATIONS = 254


@dataclasses.dataclass(frozen=True)
class CellSpace:
    """A space of cells: directed acyclic graphs with an operation on each edge.

    Attributes:
      name: name of the space in results.
      operations: names of the O operations.
      edges: `(source, target)` of each of the E edges, in the order of the array.
      cells: number of cells that are encoded separately (2: normal, reduction).
      inputs_per_node: number of in-edges that each node keeps; None keeps them all.
      sums: whether a node is the sum of its in-edges, as in the cells of networks, so
        that some architectures are isomorphic; see `isomorphism`.

    Raises:
      ValueError: `operations` are not 2 to MOST_OPERATIONS distinct strings; `edges`
        is empty, or an edge does not lead from a node to a later one; `cells` or
        `inputs_per_node` is not an integer of at least 1.
    """

    name: str
    operations: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    cells: int = 1
    inputs_per_node: int | None = None
    sums: bool = False

    def __post_init__(self):
        check_operations(self.operations)
        check_integer("cells", self.cells, 1)
        if self.inputs_per_node is not None:
            check_integer("inputs_per_node", self.inputs_per_node, 1)
        if not self.edges:
            raise ValueError(f"the space {self.name!r} has no edges")
        for source, target in self.edges:
            if not 0 <= source < target:
                raise ValueError(
                    f"edge ({source}, {target}) of {self.name!r} does not lead from a "
                    "node to a later one"
                )

    @property
    def num_edges(self) -> int:
        return len(self.edges)

    @property
    def num_operations(self) -> int:
        return len(self.operations)

    @property
    def arch_shape(self) -> tuple[int, ...]:
        """Shape of an architecture: `(E,)`, or `(cells, E)`."""
        return (self.num_edges,) if self.cells == 1 else (self.cells, self.num_edges)

    @property
    def alpha_shape(self) -> tuple[int, ...]:
        """Shape of the continuous parameters: `arch_shape + (O,)`."""
        return (*self.arch_shape, self.num_operations)

    @property
    def action_size(self) -> int:
        """D, the number of continuous parameters."""
        return math.prod(self.alpha_shape)

    @property
    def size(self) -> int:
        """Number of distinct architectures."""
        if self.inputs_per_node is None:
            return self.num_operations ** (self.cells * self.num_edges)
        targets = [target for _, target in self.edges]
        cell = 1
        for node in set(targets):
            kept = min(self.inputs_per_node, targets.count(node))
            cell *= math.comb(targets.count(node), kept) * self.num_operations**kept
        return cell**self.cells

    @functools.cached_property
    def _siblings(self) -> np.ndarray:
        """bool [E, E]: whether two edges enter the same node."""
        targets = np.array([target for _, target in self.edges])
        return targets[:, None] == targets[None, :]

    def keep(self, scores: chex.Array) -> chex.Array:
        """bool [..., E]: the edges kept, the highest-scoring in-edges of each node.

        `scores` is [..., E]. Ties go to the edge of lower index, as in a stable sort.
        """
        if self.inputs_per_node is None:
            return jnp.ones(scores.shape, bool)
        own, other = scores[..., :, None], scores[..., None, :]
        earlier = np.tri(self.num_edges, k=-1, dtype=bool)
        ahead = (other > own) | ((other == own) & earlier)
        return jnp.sum(ahead & self._siblings, axis=-1) < self.inputs_per_node

    def discretize(self, alpha: chex.Array) -> chex.Array:
        """Maps continuous parameters to an architecture.

        Every edge takes its highest-scoring operation; with `inputs_per_node`, each
        node then keeps that many in-edges, those with the highest scores.

        Args:
          alpha: float `[..., E, O]`.

        Returns:
          uint8 `[..., E]`, O where an edge is absent.

        Source: thesis Algorithm 2 (DARTS; its slices are inclusive at both ends, so
        node k owns k + 2 rows) and Algorithm 3 (NAS-Bench-201).
        """
        chex.assert_axis_dimension(alpha, -2, self.num_edges)
        chex.assert_axis_dimension(alpha, -1, self.num_operations)
        best = jnp.argmax(alpha, axis=-1)
        kept = self.keep(jnp.max(alpha, axis=-1))
        return jnp.where(kept, best, self.num_operations).astype(jnp.uint8)

    def one_hot(self, arch: chex.Array) -> chex.Array:
        """alpha^d float32 `[..., E, O]`; an absent edge is a row of zeros."""
        return jax.nn.one_hot(arch, self.num_operations, dtype=jnp.float32)

    def random(self, key: chex.PRNGKey) -> chex.Array:
        """An architecture drawn uniformly from the space."""
        key_operation, key_edge = jax.random.split(key)
        flat = math.prod(self.arch_shape)  # compiles faster, with the same bits
        operation = jax.random.randint(
            key_operation, (flat,), 0, self.num_operations, jnp.int32
        ).reshape(self.arch_shape)
        strength = jax.random.uniform(key_edge, (flat,), jnp.float32)
        kept = self.keep(strength.reshape(self.arch_shape))
        return jnp.where(kept, operation, self.num_operations).astype(jnp.uint8)

    def mutate(self, key: chex.PRNGKey, arch: chex.Array) -> chex.Array:
        """Gives another operation to a random present in-edge of a random node.

        With `inputs_per_node`, half of the mutations move the operation to an absent
        in-edge of the node instead (if it has one).

        Source: Real et al. 2019; the node is drawn before the edge, as in the
        regularized evolution of NAS-Bench-201's authors.
        """
        keys = jax.random.split(key, 6)
        flat = arch.reshape(self.cells, self.num_edges)
        targets = np.array([target for _, target in self.edges])
        nodes = np.unique(targets)
        cell = jax.random.randint(keys[0], (), 0, self.cells, jnp.int32)
        row = flat[cell]
        node = jax.random.randint(keys[1], (), 0, len(nodes), jnp.int32)
        inside = jnp.asarray(targets) == jnp.asarray(nodes)[node]
        present = row < self.num_operations
        edge = _draw(keys[2], inside & present)
        shift = jax.random.randint(keys[3], (), 1, self.num_operations, jnp.int32)
        changed = (row[edge].astype(jnp.int32) + shift) % self.num_operations
        new = row.at[edge].set(changed.astype(jnp.uint8))
        if self.inputs_per_node is not None:
            absent = inside & ~present
            moved = row.at[_draw(keys[4], absent)].set(row[edge])
            moved = moved.at[edge].set(self.num_operations)
            rewire = jnp.any(absent) & jax.random.bernoulli(keys[5], jnp.float32(0.5))
            new = jnp.where(rewire, moved, new)
        return flat.at[cell].set(new).reshape(arch.shape)

    def neighbours(self, arch: chex.Array) -> chex.Array:
        """uint8 `[E (O - 1), *arch_shape]`: architectures with one other operation.

        Raises:
          ValueError: the space selects edges (its neighbourhood has no fixed size).
        """
        self._needs_every_edge("neighbours")
        flat = arch.reshape(-1)
        E, O = flat.shape[0], self.num_operations
        edge = np.repeat(np.arange(E), O - 1)
        shift = np.tile(np.arange(1, O), E)
        changed = (flat[edge].astype(jnp.int32) + shift) % O
        rows = jnp.broadcast_to(flat, (E * (O - 1), E))
        rows = rows.at[np.arange(E * (O - 1)), edge].set(changed.astype(jnp.uint8))
        return rows.reshape(-1, *self.arch_shape)

    def index(self, arch: chex.Array) -> chex.Array:
        """int32 [...]: position in lexicographic order, of `arch` [..., *arch_shape].

        For NAS-Bench-201's own index see `nasjax.data.nb201.official_ops`.

        Raises:
          ValueError: the space selects edges, or has 2^31 architectures or more.
        """
        weights = self._weights()
        flat = arch.reshape(*arch.shape[: arch.ndim - len(self.arch_shape)], -1)
        return jnp.sum(flat.astype(jnp.int32) * weights, axis=-1, dtype=jnp.int32)

    def from_index(self, index: chex.Array) -> chex.Array:
        """The architecture at a lexicographic position, inverse of `index`."""
        digits = (jnp.asarray(index)[..., None] // self._weights()) % (
            self.num_operations
        )
        return digits.astype(jnp.uint8).reshape(*jnp.shape(index), *self.arch_shape)

    def _weights(self) -> np.ndarray:
        self._needs_every_edge("index")
        if self.size >= 2**31:
            raise ValueError(f"{self.name} has {self.size} architectures; 2^31 at most")
        places = np.arange(math.prod(self.arch_shape))[::-1]
        return (self.num_operations**places).astype(np.int32)

    def _needs_every_edge(self, what: str) -> None:
        if self.inputs_per_node is not None:
            raise ValueError(
                f"{what} needs a space whose edges all hold an operation; "
                f"{self.name} keeps {self.inputs_per_node} in-edges of each node"
            )

    def arch_string(self, arch: chex.Array) -> str:
        """The benchmark's own string, e.g. `|nor_conv_3x3~0|+|none~0|...|`."""
        self._needs_every_edge("arch_string")
        rows = np.asarray(arch)
        if rows.shape != self.arch_shape or rows.max() >= self.num_operations:
            raise ValueError(
                f"{rows.tolist()} is no architecture of {self.name}: "
                f"{self.num_edges} operations of 0..{self.num_operations - 1}"
            )
        nodes: dict[int, str] = {}
        for (source, target), operation in zip(self.edges, rows, strict=True):
            nodes.setdefault(target, "|")
            nodes[target] += f"{self.operations[int(operation)]}~{source}|"
        return "+".join(nodes[node] for node in sorted(nodes))

    def parse_arch_string(self, text: str) -> np.ndarray:
        """Reads `arch_string` back to uint8 `[E]`.

        Raises:
          ValueError: an unknown operation or a wrong edge, or the space selects edges.
        """
        self._needs_every_edge("parse_arch_string")
        edges, numbers = [], []
        for node, part in enumerate(text.strip().split("+"), start=1):
            for item in part.strip("|").split("|"):
                operation, _, source = item.partition("~")
                if operation not in self.operations:
                    raise ValueError(
                        f"unknown operation {operation!r} in {text!r}: "
                        f"allowed are {', '.join(self.operations)}"
                    )
                edges.append((source, str(node)))
                numbers.append(self.operations.index(operation))
        wanted = [(str(source), str(target)) for source, target in self.edges]
        if edges != wanted:
            raise ValueError(f"{text!r} does not list the edges {wanted} in order")
        return np.array(numbers, np.uint8)


def _draw(key: chex.PRNGKey, mask: chex.Array) -> chex.Array:
    """Index of a uniformly drawn True entry of `mask` (0 if there is none)."""
    return jnp.argmax(jax.random.uniform(key, mask.shape, jnp.float32) * mask + mask)


def check_integer(name: str, value: Any, low: int) -> None:
    """Raises ValueError unless `value` is a static integer (no bool) >= `low`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None
    if number < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")


def check_operations(operations: Sequence[str]) -> None:
    if isinstance(operations, str) or not isinstance(operations, Iterable):
        raise ValueError(f"operations must be a list of names, got {operations!r}")
    for operation in operations:
        if not isinstance(operation, str):
            raise ValueError(
                f"operations must be names, got {operation!r}: every edge has the same "
                "list, and there is none for each edge"
            )
    twice = [o for o, count in collections.Counter(operations).items() if count > 1]
    if twice:
        raise ValueError(f"operations must differ; {twice[0]!r} occurs twice")
    if not 2 <= len(operations) <= MOST_OPERATIONS:
        raise ValueError(
            f"a space has 2 to {MOST_OPERATIONS} operations (architectures are uint8), "
            f"got {len(operations)}"
        )
