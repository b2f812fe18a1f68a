"""ImageNet's pipeline: by hand, prepared by tensorflow_datasets, entered anywhere."""

import io
import math
import subprocess
import sys

import bench_imagenet
import numpy as np
import pytest
import scipy.stats
from PIL import Image

from nasjax.data import imagenet
from nasjax.data.image_files import ImageDataError
from nasjax.data.imagenet import Pipeline, Split

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def encode(pixels, kind="png", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def coordinates(width, height, blue=0):
    """Pixels that hold their own column and row."""
    image = np.full((height, width, 3), blue, np.uint8)
    image[..., 0], image[..., 1] = np.arange(width), np.arange(height)[:, None]
    return image


def records(count, classes=1000):
    """Different sizes; blue is the label. PNG, which loses nothing."""
    sizes = np.random.default_rng(0).integers(20, 60, (count, 2)).tolist()
    for label, size in enumerate(sizes):
        image = encode(coordinates(*size, blue=label))
        name = f"n{label:08}.JPEG"
        yield {"image": image, "label": label % classes, "file_name": name}


@pytest.fixture(scope="module")
def split():
    return Split(list(records(22)), 1000, "made")


def pipeline(**fields):
    settings = {"batch_size": 6, "size": 8, "resize": 10, "seed": 3, "workers": 2}
    return Pipeline(**settings | fields)


def epoch(split, number=0, first=0, **fields):
    return list(imagenet.training(split, pipeline(**fields), number, first))


def same(actual, expected):
    assert len(actual) == len(expected) > 0
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)


def prepare(folder, splits):
    """Writes the records as tensorflow_datasets prepares ImageNet."""
    pytest.importorskip("array_record")  # It comes with tensorflow_datasets on Linux.
    import tensorflow_datasets as tfds

    base = tfds.builder_cls("imagenet2012")
    with tfds.core.registered.skip_registration():

        class Small(base):
            name = base.name
            pkg_dir_path = base.pkg_dir_path

            def _split_generators(self, dl_manager):
                return {name: self._generate_examples(name) for name in splits}

            def _generate_examples(self, name):
                yield from enumerate(splits[name])

    Small(data_dir=folder, file_format="array_record").download_and_prepare()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    jpegs = [
        {**row, "image": encode(coordinates(40, 30, i), "jpeg", quality=95)}
        for i, row in enumerate(records(7))
    ]
    prepare(folder, {"train": list(records(22)), "validation": jpegs})
    return folder


def test_what_tensorflow_datasets_prepared(prepared):
    train = imagenet.open_split("train", prepared)
    valid = imagenet.open_split("validation", prepared)
    assert (len(train.source), len(valid.source)) == (22, 7)
    assert train.classes == 1000
    assert train.name == f"imagenet2012 in {prepared}, train"
    batches = epoch(train, batch_size=11)
    labels = np.concatenate([batch.labels for batch in batches])
    assert sorted(labels.tolist()) == list(range(22)) and labels.dtype == np.int32
    for batch in batches:
        assert batch.images.shape == (11, 8, 8, 3) and batch.images.dtype == np.uint8
        blue = np.broadcast_to(batch.labels[:, None, None], (11, 8, 8))
        np.testing.assert_array_equal(batch.images[..., 2], blue)
    (batch,) = imagenet.evaluation(valid, pipeline(batch_size=7))
    assert sorted(batch.labels.tolist()) == list(range(7))
    blue = batch.images[..., 2].astype(int) - batch.labels[:, None, None]
    assert np.abs(blue).max() < 20  # JPEG loses something.


def test_no_tensorflow(prepared, tmp_path):
    """Reading and decoding do not import TensorFlow even where it is installed."""
    (tmp_path / "tensorflow.py").write_text("print('TensorFlow imported')\n")
    code = f"""
import importlib.util, sys
sys.path.insert(0, {str(tmp_path)!r})
from nasjax.data import imagenet
split = imagenet.open_split("train", {str(prepared)!r})
pipeline = imagenet.Pipeline(batch_size=4, size=8, resize=9)
print(sum(len(batch.labels) for batch in imagenet.training(split, pipeline, 0)))
print(importlib.util.find_spec("tensorflow").origin, "tensorflow" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == ["20", f"{tmp_path / 'tensorflow.py'} False"]


def test_not_prepared(prepared, tmp_path, monkeypatch):
    with pytest.raises(ImageDataError) as caught:
        imagenet.open_split("train", tmp_path)
    for text in ("no train split of imagenet2012", "ArrayRecord", str(tmp_path)):
        assert text in str(caught.value)
    assert "tfds build imagenet2012 --file_format=array_record" in str(caught.value)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "named"))
    with pytest.raises(ImageDataError, match=str(tmp_path / "named")):
        imagenet.open_split("train")
    with pytest.raises(ImageDataError, match="its splits are train, validation"):
        imagenet.open_split("test", prepared)
    with pytest.raises(ImageDataError, match="no train split of no_such_data"):
        imagenet.open_split("train", prepared, "no_such_data")


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_out_of_range(label):
    rows = [*records(5), {**next(records(1)), "label": label, "file_name": b"bad.JPEG"}]
    bad = Split(rows, 10, "made")
    message = rf"made, record 5 \(bad.JPEG\): label {label}, expected 0 to 9"
    with pytest.raises(ImageDataError, match=message):
        epoch(bad)
    with pytest.raises(ImageDataError, match=message):
        list(imagenet.evaluation(bad, pipeline()))


def test_damaged_image():
    rows = list(records(6))
    rows[2]["image"] = rows[2]["image"][:60]
    with pytest.raises(ImageDataError, match=r"record 2 \(n00000002.JPEG\): cannot be"):
        epoch(Split(rows, 10, "made"))


def test_an_epoch_is_the_same_wherever_it_is_entered(split):
    whole = epoch(split, 5)
    assert len(whole) == imagenet.steps(split, pipeline()) == 3
    for first in range(3):
        same(epoch(split, 5, first), whole[first:])
    assert epoch(split, 5, 3) == []
    same(epoch(split, 5, workers=1, prefetch=0), whole)
    same(epoch(split, 5, workers=7, prefetch=9), whole)


def test_epochs_and_seeds_differ(split):
    runs = [epoch(split, 0), epoch(split, 1), epoch(split, 0, seed=4)]
    orders = [[b.labels.tolist() for b in run] for run in runs]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    # The same image, when it meets again, is cropped elsewhere.
    by_label = [
        {int(y): x.tobytes() for b in run for x, y in zip(*b, strict=True)}
        for run in runs
    ]
    both = by_label[0].keys() & by_label[1].keys()
    assert sum(by_label[0][y] == by_label[1][y] for y in both) <= 1 < len(both)


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_processes_share_the_batches_of_one(split, processes):
    def joined(run):
        parts = [run((p, processes)) for p in range(processes)]
        return [
            imagenet.Batch(*map(np.concatenate, zip(*batches, strict=True)))
            for batches in zip(*parts, strict=True)
        ]

    same(joined(lambda shard: epoch(split, 2, shard=shard)), epoch(split, 2))
    evaluated = list(imagenet.evaluation(split, pipeline()))
    parts = joined(lambda s: list(imagenet.evaluation(split, pipeline(shard=s))))
    same(parts, evaluated)


def test_evaluation_covers_every_image_once(split):
    batches = list(imagenet.evaluation(split, pipeline()))
    assert [len(batch.labels) for batch in batches] == [6] * 4
    labels = np.concatenate([batch.labels for batch in batches])
    assert labels.tolist() == [*range(22), -1, -1]
    assert not batches[-1].images[4:].any()


def test_centre_by_hand():
    """Where nothing is resized, the crop is a window of the pixels themselves."""
    image = coordinates(20, 10)
    cropped = np.asarray(imagenet.centre(Image.fromarray(image), 10, 8))
    np.testing.assert_array_equal(cropped, image[1:9, 6:14])
    # 100 x 75, shorter side 256: 341 x 256, of which columns 58 to 281, rows 16 to 239.
    cropped = np.asarray(
        imagenet.centre(Image.fromarray(coordinates(100, 75)), 256, 224)
    )
    x = (58 + np.arange(224) + 0.5) * 100 / 341 - 0.5
    y = (16 + np.arange(224) + 0.5) * 75 / 256 - 0.5
    np.testing.assert_allclose(cropped[:, :, 0], np.tile(x, (224, 1)), atol=0.51)
    np.testing.assert_allclose(cropped[:, :, 1], np.tile(y[:, None], 224), atol=0.51)


def test_a_crop_is_the_box_resized(split):
    """Ramps stay ramps: the pixels tell which box was taken, the drawn one."""
    (batch,) = imagenet.training(split, pipeline(batch_size=22), 4)
    order = np.random.default_rng([0, 3, 4]).permutation(22)
    assert batch.labels.tolist() == order.tolist()
    for place, (image, label) in enumerate(zip(*batch, strict=True)):
        size = Image.open(io.BytesIO(split.source[label]["image"])).size
        rng = np.random.default_rng([1, 3, 4, place])
        left, top, right, bottom = imagenet.random_box(rng, *size, SCALE, RATIO)
        at = (np.arange(8) + 0.5) / 8
        inner = slice(1, -1)  # At its border the filter is cut off.
        x, y = left + at * (right - left) - 0.5, top + at * (bottom - top) - 0.5
        wide = np.tile(x, (8, 1))[:, inner], np.tile(y[:, None], 8)[inner]
        np.testing.assert_allclose(image[:, inner, 0], wide[0], atol=1)
        np.testing.assert_allclose(image[inner, :, 1], wide[1], atol=1)


def boxes(count, width, height, scale=SCALE, ratio=RATIO):
    rng = np.random.default_rng(0)
    return np.array(
        [imagenet.random_box(rng, width, height, scale, ratio) for _ in range(count)]
    )


def test_random_boxes():
    width, height = 500, 375
    left, top, right, bottom = boxes(4000, width, height).T
    assert left.min() >= 0 and right.max() <= width
    assert top.min() >= 0 and bottom.max() <= height
    w, h = right - left, bottom - top
    area, aspect = w * h / (width * height), w / h
    assert 0.078 < area.min() < 0.09 and area.max() > 0.97
    assert 0.73 < aspect.min() < 0.78 and 1.29 < aspect.max() < 1.36
    # A small crop of any ratio fits: area and log ratio are uniform, so is its place.
    left, top, right, bottom = boxes(4000, 3000, 3000, (0.1, 0.3)).T
    w, h = right - left, bottom - top
    for values, low, high in (
        (w * h / 9e6, 0.1, 0.3),
        (np.log(w / h), math.log(3 / 4), math.log(4 / 3)),
        (left / (3000 - w), 0, 1),
        (top / (3000 - h), 0, 1),
    ):
        uniform = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(values, uniform.cdf).pvalue > 1e-3


def test_boxes_where_none_fits():
    """The whole area in a long image: the largest centred crop of a ratio allowed."""
    assert boxes(1, 400, 100, (1, 1)).tolist() == [[133, 0, 266, 100]]
    assert boxes(1, 100, 400, (1, 1)).tolist() == [[0, 133, 100, 266]]
    assert boxes(1, 120, 100, (1, 1), (1, 1)).tolist() == [[10, 0, 110, 100]]
    assert boxes(1, 100, 400, (1, 1), (0.5, 1)).tolist() == [[0, 100, 100, 300]]
    assert boxes(1, 1, 1).tolist() == [[0, 0, 1, 1]]


def test_shrinking_averages():
    """Stripes of 0 and 200 become gray; picking pixels would keep them."""
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::2] = 200
    one = Split([{"image": encode(stripes), "label": 0}], 1, "made")
    whole = pipeline(batch_size=1, scale=(1, 1), ratio=(1, 1), resize=8)
    for batches in (imagenet.training(one, whole, 0), imagenet.evaluation(one, whole)):
        (batch,) = batches
        assert batch.images.shape == (1, 8, 8, 3)
        np.testing.assert_allclose(batch.images[:, :, 1:-1], 100, atol=5)


def test_gray_images_get_three_channels():
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    rows = [{"image": encode(gray), "label": 0}]
    (batch,) = imagenet.evaluation(Split(rows, 1, "made"), pipeline(resize=8))
    np.testing.assert_array_equal(batch.images[0], np.repeat(gray[..., None], 3, -1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shard": (2, 2)}, r"shard \(2, 2\): needs 0 <= process < processes"),
        ({"shard": (0, 4)}, "batch_size 6: needs a multiple of 4"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"size": 11}, "size 11: allowed is 1 to resize 10"),
        ({"scale": (0.5, 1.1)}, "a scale up to 1"),
        ({"ratio": (2.0, 1.0)}, "need 0 < low <= high"),
        ({"workers": -1}, "workers -1"),
    ],
)
def test_wrong_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**fields)


def test_batches_that_are_not_there(split):
    for number, first in ((-1, 0), (0, 4), (0, -1)):
        with pytest.raises(ValueError, match=rf"epoch {number}, batch {first}: .* 3"):
            imagenet.training(split, pipeline(), number, first)


def test_bench(prepared, tmp_path, capsys):
    small = ["--seconds", "0", "--batch-size", "2", "--workers", "2"]
    assert bench_imagenet.main(["--data-dir", str(prepared), *small]) == 0
    out = capsys.readouterr().out
    assert "imagenet2012" in out and "2 threads" in out
    assert "training: " in out and "evaluation: " in out and " images/s" in out
    assert bench_imagenet.main(["--made-up", "2", *small]) == 0
    assert "2 made-up images" in capsys.readouterr().out
    for arguments, text in (
        (["--data-dir", str(tmp_path)], "tfds build"),
        (["--data-dir", str(prepared), "--batch-size", "99"], "only 22 images"),
        (["--made-up", "0"], "only 0 images (0 made-up images)"),
        (["--workers", "-1"], "workers -1"),
    ):
        assert bench_imagenet.main([*small, *arguments]) == 2
        assert text in capsys.readouterr().err
