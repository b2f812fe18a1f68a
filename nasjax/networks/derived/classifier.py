"""A trained network with all that classifying images needs."""

import functools

import chex
import flax.struct
import jax
import jax.export  # a submodule that jax does not import
import jax.numpy as jnp

from nasjax.networks import augment
from nasjax.networks.derived.config import DerivedConfig
from nasjax.networks.derived.network import Network
from nasjax.spaces import image_sizes


@flax.struct.dataclass
class Classifier:
    """A function from images to probabilities; also a pytree of its weights.

    Attributes:
      params, statistics: of the network, as `init` names them.
      config: of the network, without an auxiliary head.
      genotype: the architecture, printed.
      classes: K names, in the order of the probabilities.
      mean, std: per channel, of pixels in [0, 1].
      image_size: (height, width) that the network was trained on.
      shrink: the data set's images are larger by this factor: blocks of so many by so
        many pixels are averaged. Images of both sizes are accepted.
    """

    params: chex.ArrayTree
    statistics: chex.ArrayTree
    config: DerivedConfig = flax.struct.field(pytree_node=False)
    genotype: str = flax.struct.field(pytree_node=False)
    classes: tuple[str, ...] = flax.struct.field(pytree_node=False)
    mean: tuple[float, ...] = flax.struct.field(pytree_node=False)
    std: tuple[float, ...] = flax.struct.field(pytree_node=False)
    image_size: tuple[int, int] = flax.struct.field(pytree_node=False)
    shrink: int = flax.struct.field(pytree_node=False, default=1)

    @property
    def whole_size(self) -> tuple[int, int]:
        """(height, width) of the data set's images."""
        height, width = self.image_size
        return self.shrink * height, self.shrink * width

    def __call__(self, images: chex.Array) -> chex.Array:
        """Probabilities float32 [B, K] of images uint8 [B, H, W, C]; jitted.

        Raises:
          ValueError: images of another type, rank, size or number of channels.
        """
        if images.dtype != jnp.uint8:
            raise ValueError(f"images are {images.dtype}; allowed: uint8, 0 to 255")
        config = self.config
        image_sizes.check(images.shape, config.image_channels, config.halvings)
        sizes = self.image_size, self.whole_size
        if images.shape[1:3] not in sizes:
            allowed = " or ".join(dict.fromkeys("{} x {}".format(*x) for x in sizes))
            raise ValueError(
                f"images are {images.shape[1]} x {images.shape[2]}; allowed: {allowed}"
            )
        return _probabilities(self, images)

    def stablehlo(self, platforms: tuple[str, ...] = ("cpu", "cuda")) -> bytes:
        """The function as StableHLO of `jax.export`, for any number of images.

        `jax.export.deserialize(content).call(images)` runs it; it holds the weights and
        needs jax alone.
        """
        shape = "b, {}, {}, {}".format(*self.whole_size, self.config.image_channels)
        images = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), jnp.uint8)
        function = jax.jit(functools.partial(_probabilities, self))
        program = jax.export.export(function, platforms=platforms)(images)
        return bytes(program.serialize())


@jax.jit
def _probabilities(classifier, images):
    config = classifier.config
    if images.shape[1:3] != classifier.image_size:
        n, (H, W) = classifier.shrink, classifier.image_size
        blocks = images.reshape(-1, H, n, W, n, images.shape[-1]).astype(jnp.float32)
        images = jnp.round(blocks.mean((2, 4))).astype(jnp.uint8)
    x = augment.normalize(images, classifier.mean, classifier.std, config.dtype)
    variables = {"params": classifier.params, "statistics": classifier.statistics}
    logits, _ = Network(config).apply(variables, x, False)
    return jax.nn.softmax(logits.astype(jnp.float32))
