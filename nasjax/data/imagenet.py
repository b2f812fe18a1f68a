"""ImageNet for training from scratch: batches of crops, prefetched by threads.

    train = imagenet.open_split("train", DIR)
    pipeline = imagenet.Pipeline(batch_size=1024, seed=0)
    for batch in imagenet.training(train, pipeline, epoch=3, first=17):
        ...  # batch.images [1024, 224, 224, 3] uint8, batch.labels [1024] int32

ArrayRecord files prepared by `tensorflow_datasets` are read without TensorFlow. Flips,
colours and normalisation are applied on the device by `nasjax.networks.color`.

`python experiments/bench_imagenet.py` measures images per second.
"""

import dataclasses
import io
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from nasjax.data import prepared
from nasjax.data.image_files import ImageDataError

NAME = "imagenet2012"  # in tensorflow_datasets
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels in [0, 1]
_ORDER, _CROP = 0, 1  # two families of random numbers


class Split(NamedTuple):
    """The images of one split, still encoded."""

    source: Sequence  # of dicts: image (bytes), label (int), perhaps file_name
    classes: int
    name: str  # name in errors


class Batch(NamedTuple):
    """Images of one step in one process; b = B / processes."""

    images: np.ndarray  # uint8 [b, size, size, 3]
    labels: np.ndarray  # int32 [b]; -1 marks padding of the last evaluation batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Config of the batches.

    Attributes:
      batch_size: B, over all processes.
      size: height and width of a crop.
      resize: shorter side before the centre crop of an evaluation.
      scale: least and largest share of an image's area in a random crop.
      ratio: least and largest width / height of a random crop.
      seed: of the orders and the crops.
      shard: index of this process and number of processes: jax.process_index(),
        jax.process_count().
      workers: number of threads; 0 for one per core.
      prefetch: batches prepared ahead of the one in use.

    Raises:
      ValueError: numbers out of range, or a batch that the processes cannot share.

    Source: the ImageNet recipe of DARTS and PC-DARTS (thesis 4.4.4).
    """

    batch_size: int = 1024
    size: int = 224
    resize: int = 256
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    seed: int = 0
    shard: tuple[int, int] = (0, 1)
    workers: int = 0
    prefetch: int = 2

    def __post_init__(self):
        (process, processes), low, high = self.shard, *self.ratio
        if not 0 <= process < processes:
            raise ValueError(f"shard {self.shard}: needs 0 <= process < processes")
        if self.batch_size < 1 or self.batch_size % processes:
            raise ValueError(
                f"batch_size {self.batch_size}: needs a multiple of {processes} "
                "processes, at least one image for each"
            )
        if not 1 <= self.size <= self.resize:
            raise ValueError(f"size {self.size}: allowed is 1 to resize {self.resize}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1 or not 0 < low <= high:
            raise ValueError(
                f"scale {self.scale} and ratio {self.ratio}: need 0 < low <= high, "
                "and a scale up to 1"
            )
        if min(self.seed, self.workers, self.prefetch) < 0:
            raise ValueError(
                f"seed {self.seed}, workers {self.workers} and prefetch "
                f"{self.prefetch} must not be negative"
            )


def open_split(
    split: str, data_dir: str | os.PathLike[str] | None = None, name: str = NAME
) -> Split:
    """Opens a split of ArrayRecord files prepared by tensorflow_datasets.

    Args:
      split: "train" or "validation".
      data_dir: folder of tensorflow_datasets; default: $TFDS_DATA_DIR, or its own.
      name: of a data set with the features of imagenet2012.

    Raises:
      ImageDataError: the data set is not prepared, or has no such split.
    """
    splits, shown, reason = prepared.encoded(name, data_dir)
    if split not in splits:
        raise ImageDataError(
            f"no {split} split of {name} as ArrayRecord files in {shown} ({reason}). "
            f"To prepare it, put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar "
            f"into a folder TARS and run: tfds build {name} "
            f"--file_format=array_record --data_dir={shown} --manual_dir=TARS"
        )
    classes = splits[split].dataset_info.features["label"].num_classes
    return Split(splits[split], classes, f"{name} in {shown}, {split}")


def steps(split: Split, pipeline: Pipeline) -> int:
    """Number of batches of a training epoch; a last, partial batch is dropped."""
    return len(split.source) // pipeline.batch_size


def training(
    split: Split, pipeline: Pipeline, epoch: int, first: int = 0
) -> Iterator[Batch]:
    """The batches of an epoch from batch `first` on, cropped and resized at random.

    Orders depend on (seed, epoch), crops on (seed, epoch, position in the order): a
    batch does not depend on `first` or on the number of threads and processes. Every
    process gets its share of the batch.

    Raises:
      ValueError: `epoch` is negative, or `first` exceeds the batches of an epoch.
      ImageDataError: while iterating, for an image or a label that is not valid.
    """
    count = steps(split, pipeline)
    if epoch < 0 or not 0 <= first <= count:
        raise ValueError(
            f"epoch {epoch}, batch {first}: allowed are epochs from 0, and 0 to {count}"
        )
    rng = np.random.default_rng([_ORDER, pipeline.seed, epoch])
    order = rng.permutation(len(split.source))

    def crop(image: Image.Image, place: int) -> Image.Image:
        rng = np.random.default_rng([_CROP, pipeline.seed, epoch, place])
        box = random_box(rng, *image.size, pipeline.scale, pipeline.ratio)
        square = (pipeline.size, pipeline.size)
        return image.crop(box).resize(square, Image.Resampling.BILINEAR)

    return _batches(split, pipeline, order, range(first, count), crop)


def evaluation(split: Split, pipeline: Pipeline) -> Iterator[Batch]:
    """Batches of all images in order, resized and cropped at the centre.

    All batches have the same size; the last one is padded by black images, label -1.

    Raises:
      ImageDataError: while iterating, for an image or a label that is not valid.
    """
    order = np.arange(len(split.source))

    def crop(image: Image.Image, place: int) -> Image.Image:
        return centre(image, pipeline.resize, pipeline.size)

    numbers = range(-(-len(order) // pipeline.batch_size))
    return _batches(split, pipeline, order, numbers, crop)


def random_box(
    rng: np.random.Generator,
    width: int,
    height: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom pixel of a random crop, the last two exclusive.

    Its share of the area is uniform in `scale` and the logarithm of width / height in
    that of `ratio`; both are drawn until the crop fits, at most ten times. If none
    fits, the largest centred crop of an allowed ratio is taken.

    Source: RandomResizedCrop of torchvision (Szegedy et al., CVPR 2015).
    """
    low, high = ratio
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.integers(width - w + 1))
            top = int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    w = min(width, max(round(height * high), 1))
    h = min(height, max(round(width / low), 1))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def centre(image: Image.Image, resize: int, size: int) -> Image.Image:
    """The centre `size` x `size` of the image with a shorter side of `resize`."""
    shorter = min(image.size)
    width, height = (resize * side // shorter for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def _batches(
    split: Split,
    pipeline: Pipeline,
    order: np.ndarray,
    numbers: range,
    crop: Callable[[Image.Image, int], Image.Image],
) -> Iterator[Batch]:
    """The batches `numbers`, prefetched while earlier ones are in use."""
    process, processes = pipeline.shard
    share = pipeline.batch_size // processes
    # Decoding and resizing release Python's global lock, so threads use every core.
    pool = ThreadPoolExecutor(pipeline.workers or os.cpu_count())
    pending: deque[tuple[Batch, list[Future]]] = deque()

    def fill(batch: Batch, row: int, place: int) -> None:
        image, batch.labels[row] = _decode(split, int(order[place]))
        batch.images[row] = crop(image, place)

    def take() -> Batch:
        batch, rows = pending.popleft()
        for row in rows:
            row.result()  # raises what the thread raised
        return batch

    try:
        for number in numbers:
            start = number * pipeline.batch_size + process * share
            images = np.zeros((share, pipeline.size, pipeline.size, 3), np.uint8)
            batch = Batch(images, np.full(share, -1, np.int32))
            here = range(min(share, max(len(order) - start, 0)))
            rows = [pool.submit(fill, batch, row, start + row) for row in here]
            pending.append((batch, rows))
            if len(pending) > pipeline.prefetch:
                yield take()
        while pending:
            yield take()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(split: Split, index: int) -> tuple[Image.Image, int]:
    """One image of three channels, and its label."""
    where = f"{split.name}, record {index}"
    try:
        record = split.source[index]
        if file := record.get("file_name"):
            where += f" ({file.decode() if isinstance(file, bytes) else file})"
        label = int(record["label"])
        image = Image.open(io.BytesIO(record["image"])).convert("RGB")
    except Exception as error:  # A damaged record raises nearly anything.
        raise ImageDataError(f"{where}: cannot be read ({error!r})") from error
    if not 0 <= label < split.classes:
        raise ImageDataError(
            f"{where}: label {label}, expected 0 to {split.classes - 1}"
        )
    return image, label
