"""Speed of the ImageNet input pipeline, in images per second.

    python experiments/bench_imagenet.py --data-dir DIR

reads the prepared data set; `--made-up 500` takes that many made-up images instead.
"""

import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from nasjax.data import imagenet
from nasjax.data.imagenet import Batch, Pipeline, Split
from nasjax.runs import cli
from nasjax.runs.script import refusals, script


def made_up(count: int, width: int = 500, height: int = 375) -> Split:
    """Up to 100 different JPEGs of coloured noise, of about 75 KB."""

    def encode(label: int) -> dict[str, Any]:
        rng, total = np.random.default_rng(label), 0
        for cells, weight in ((4, 0.6), (32, 0.3), (256, 0.1)):
            noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            large = Image.fromarray(noise).resize((width, height))
            total = total + weight * np.asarray(large)
        file = io.BytesIO()
        Image.fromarray(total.astype(np.uint8)).save(file, "jpeg", quality=95)
        return {"image": file.getvalue(), "label": label}

    different = [encode(label) for label in range(min(count, 100))]
    source = [different[i % 100] for i in range(count)]
    return Split(source, 1000, f"{count} made-up images")


def rate(batches: Iterator[Batch], seconds: float) -> tuple[int, float]:
    """The number of images read within `seconds`, or all of them; seconds it took."""
    images, start = 0, time.perf_counter()
    for batch in batches:
        images += int((batch.labels >= 0).sum())
        if time.perf_counter() - start >= seconds:
            break
    return images, time.perf_counter() - start


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Prints the rates of training and of evaluation."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--data-dir", help="folder of tensorflow_datasets (default its own)")
    add("--made-up", type=int, metavar="N", help="N made-up images")
    add("--batch-size", type=int, default=128, help="images (128)")
    add("--workers", type=int, default=0, help="threads; 0: all cores")
    add("--seconds", type=float, default=10.0, help="of each measurement (10)")
    args = parser.parse_args(argv)
    with refusals():
        pipeline = Pipeline(batch_size=args.batch_size, workers=args.workers)
        if args.made_up is not None:
            train = valid = made_up(args.made_up)
        else:
            train, valid = (
                imagenet.open_split(split, args.data_dir)
                for split in ("train", "validation")
            )
        if not imagenet.steps(train, pipeline):
            raise ValueError(
                f"--batch-size {args.batch_size}: there are only "
                f"{len(train.source)} images ({train.name})"
            )
    print(f"{train.name}; {args.workers or os.cpu_count()} threads")
    for name, batches in (
        ("training", imagenet.training(train, pipeline, 0)),
        ("evaluation", imagenet.evaluation(valid, pipeline)),
    ):
        images, seconds = rate(batches, args.seconds)
        print(f"{name}: {images / seconds:,.0f} images/s", end="")
        print(f" ({images:,} images in {seconds:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
