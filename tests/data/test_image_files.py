"""Official files of images: what is in them, and what is wrong with others."""

import io
import os
import pathlib
import pickle
import struct

import numpy as np
import pytest

from nasjax.data import image_files
from nasjax.data.image_files import PUBLISHED, ImageDataError

REAL = os.environ.get("NASJAX_DATA", "").split(os.pathsep)


class Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 wrote its strings."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, text):
        raw = text.encode("latin1") if isinstance(text, str) else text
        short = len(raw) < 256
        self.write(b"U" + bytes([len(raw)]) if short else b"T")
        self.write(raw if short else struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_string


def python2(batch):
    file = io.BytesIO()
    Python2(file, 2).dump(batch)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def rows(rng, count, size=32):
    return rng.integers(0, 256, (count, 3 * size**2), dtype=np.uint8)


def write_cifar10(folder, per_batch=20):
    """A small cifar-10-batches-py; returns its rows and labels by file."""
    folder.mkdir(parents=True)
    rng, written = np.random.default_rng(0), {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        labels = rng.integers(0, 10, per_batch).tolist()
        batch = {"batch_label": name, "labels": labels, "data": rows(rng, per_batch)}
        (folder / name).write_bytes(python2(batch))
        written[name] = batch
    return written


def write_cifar100(folder):
    folder.mkdir(parents=True)
    rng, written = np.random.default_rng(0), {}
    for name, count in (("train", 30), ("test", 12)):
        fine = rng.integers(0, 100, count).tolist()
        batch = {"data": rows(rng, count), "fine_labels": fine}
        batch["coarse_labels"] = [label // 5 for label in fine]
        (folder / name).write_bytes(python2(batch))
        written[name] = batch
    return written


def write_imagenet(folder, size, npz=False, parts=False):
    """Ten batches and val_data with labels 1 to 1000, half of them up to 120."""
    rng, written = np.random.default_rng(0), {}
    names = [*(f"train_data_batch_{i}" for i in range(1, 11)), "val_data"]
    for name in names:
        end = "_npz" if npz else ""
        part = f"Imagenet{size}_{'val' if name == 'val_data' else 'train'}{end}"
        path = folder / part / name if parts else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        low, high = rng.integers(1, 121, 4), rng.integers(121, 1001, 4)
        labels = rng.permutation(np.concatenate([low, high, [1, 120, 121, 1000]]))
        batch = {"data": rows(rng, 12, size), "mean": np.zeros(3 * size**2)}
        if npz:
            np.savez(f"{path}.npz", **batch, labels=labels)
        else:
            path.write_bytes(pickle.dumps({**batch, "labels": labels.tolist()}, 4))
        written[name] = {**batch, "labels": labels}
    return written


def pixel(row, y, x, colour, size=32):
    """A byte of a row where the authors say it is: red plane first, row by row."""
    return row[colour * size**2 + y * size + x]


def read(name, root):
    """Training images and labels, test images and labels, below a root."""
    facts = PUBLISHED[name]
    train, test = image_files.read(facts, image_files.find(facts, root))
    return (*train, *test)


@pytest.mark.parametrize("inside", [True, False], ids=["parent", "folder"])
def test_cifar10(tmp_path, inside):
    folder = tmp_path / "cifar-10-batches-py"
    written = write_cifar10(folder)
    images, labels, test_images, test_labels = read(
        "cifar10", tmp_path if inside else folder
    )
    assert images.shape == (100, 32, 32, 3) and test_images.shape == (20, 32, 32, 3)
    assert images.dtype == np.uint8 and labels.dtype == test_labels.dtype == np.int32
    expected = [n for i in range(1, 6) for n in written[f"data_batch_{i}"]["labels"]]
    assert labels.tolist() == expected
    assert test_labels.tolist() == written["test_batch"]["labels"]
    row = written["data_batch_3"]["data"][7]
    for y, x, colour in [(0, 0, 0), (31, 0, 1), (5, 30, 2), (17, 3, 0)]:
        assert images[47, y, x, colour] == pixel(row, y, x, colour)


def test_keys_of_bytes(tmp_path):
    """As Python 3 writes what it has read with encoding="bytes"."""
    folder = tmp_path / "cifar-10-batches-py"
    written = write_cifar10(folder)
    batch = {key.encode(): value for key, value in written["test_batch"].items()}
    (folder / "test_batch").write_bytes(pickle.dumps(batch, 2))
    assert read("cifar10", tmp_path)[3].tolist() == batch[b"labels"]


def test_cifar100_has_fine_labels(tmp_path):
    written = write_cifar100(tmp_path / "cifar-100-python")
    _, labels, _, test_labels = read("cifar100", tmp_path)
    assert labels.tolist() == written["train"]["fine_labels"]
    assert test_labels.tolist() == written["test"]["fine_labels"]


@pytest.mark.parametrize("npz", [False, True], ids=["pickle", "npz"])
@pytest.mark.parametrize("place", ["ImageNet", "parts", "other name"])
@pytest.mark.parametrize("size", [16, 32])
def test_imagenet_keeps_the_first_120_classes(tmp_path, size, place, npz):
    root = {"ImageNet": tmp_path / f"ImageNet{size}", "parts": tmp_path}
    root = root.get(place, tmp_path / "mine")
    written = write_imagenet(root, size, npz, parts=place == "parts")
    images, labels, test_images, _ = read(
        f"imagenet{size}-120", root if place == "other name" else tmp_path
    )
    train = [written[f"train_data_batch_{i}"] for i in range(1, 11)]
    all_labels = np.concatenate([batch["labels"] for batch in train])
    flat = np.concatenate([batch["data"] for batch in train])[all_labels <= 120]
    assert labels.tolist() == (all_labels[all_labels <= 120] - 1).tolist()
    assert {0, 119} <= set(labels.tolist())
    assert images.shape == (60, size, size, 3) and len(test_images) == 6
    for i, y, x, colour in [(0, 0, 0, 2), (59, 9, 14, 1), (31, 15, 0, 0)]:
        assert images[i, y, x, colour] == pixel(flat[i], y, x, colour, size)


def change(folder, name, **entries):
    batch = pickle.loads((folder / name).read_bytes(), encoding="latin1")
    for key, value in entries.items():
        batch.pop(key) if value is None else batch.update({key: value})
    (folder / name).write_bytes(pickle.dumps(batch, 4))


NOT_LABELS = "not one integer for each of 20 images"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"labels": [0] * 19 + [10]}, r"label 10, expected 0 to 9 \(1 of 20"),
        ({"labels": [-1] + [0] * 19}, "label -1, expected 0 to 9"),
        ({"labels": [0] * 19}, rf"labels are int64 \[19\], {NOT_LABELS}"),
        ({"labels": [0.5] * 20}, f"labels are float64.* {NOT_LABELS}"),
        ({"labels": [[0]] * 20}, rf"labels are int64 \[20, 1\], {NOT_LABELS}"),
        ({"labels": [[0], [1, 2]]}, "labels are not an array"),
        ({"labels": ["cat"] * 20}, NOT_LABELS),
        ({"labels": [None] * 20}, NOT_LABELS),
        ({"labels": 3}, NOT_LABELS),
        ({"labels": None}, r"no 'labels' in it, only 'batch_label', 'data'"),
        ({"data": None}, r"no 'data' in it"),
        ({"data": np.zeros((20, 768), np.uint8)}, r"uint8 \[20, 768\], not .*3072\]"),
        ({"data": np.zeros((20, 3072), np.float32)}, r"data is float32 \[20, 3072\]"),
        ({"data": np.zeros((20, 3, 1024), np.uint8)}, r"data is uint8 \[20, 3, 1024\]"),
        ({"data": np.zeros(3072, np.uint8)}, r"data is uint8 \[3072\]"),
        ({"data": [1, 2]}, r"data is list \[\], not uint8 \[N, 3072\]"),
        ({"data": 7}, "data is int"),
    ],
)
def test_wrong_batches_are_described(tmp_path, entries, message):
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar10(folder)
    change(folder, "data_batch_4", **entries)
    with pytest.raises(ImageDataError, match=message) as caught:
        read("cifar10", tmp_path)
    assert str(folder / "data_batch_4") in str(caught.value)


def test_damaged_and_missing_files(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar10(folder)
    path = folder / "test_batch"
    whole = path.read_bytes()
    wrong = (b"", whole[:-3], whole[: len(whole) // 2], b"<html>", pickle.dumps([1]))
    for content in wrong:
        path.write_bytes(content)
        with pytest.raises(ImageDataError, match=f"{path}: .*(read|list)"):
            read("cifar10", tmp_path)
    path.write_bytes(whole)
    read("cifar10", tmp_path)
    missing = folder / "data_batch_2"
    missing.unlink()
    with pytest.raises(ImageDataError, match="no such file") as caught:
        read("cifar10", tmp_path)
    assert str(missing) in str(caught.value) and "data_batch_5" in str(caught.value)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    folder = tmp_path / "cifar-100-python"
    write_cifar100(folder)

    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    (folder / "test").write_bytes(pickle.dumps({"data": Touch()}))
    with pytest.raises(ImageDataError, match=r"test: .*refused the global"):
        read("cifar100", tmp_path)
    assert not (tmp_path / "made").exists()


def test_damaged_imagenet(tmp_path):
    folder = tmp_path / "Imagenet16"
    write_imagenet(folder, 16, npz=True)
    path = folder / "train_data_batch_7.npz"
    for content in (b"", path.read_bytes()[:-90], pickle.dumps({"data": 1})):
        path.write_bytes(content)
        with pytest.raises(ImageDataError, match=f"{path}: cannot be read"):
            read("imagenet16-120", tmp_path)
    np.savez(path, data=np.zeros((2, 768), np.uint8), labels=[0, 5])
    with pytest.raises(ImageDataError, match="label 0, expected 1 to 1000"):
        read("imagenet16-120", tmp_path)
    np.savez(path, data=np.zeros((2, 768), np.uint8), labels=[121, 1000])
    assert (
        len(read("imagenet16-120", tmp_path)[1]) == 54
    )  # Nothing of this batch, 6 of the others.
    np.savez(folder / "val_data.npz", data=np.zeros((1, 768), np.uint8), labels=[500])
    with pytest.raises(ImageDataError, match="val_data hold no image to use"):
        read("imagenet16-120", tmp_path)


def test_the_other_size_is_passed_over(tmp_path):
    write_imagenet(tmp_path / "ImageNet16", 16)
    write_imagenet(tmp_path / "there" / "ImageNet32", 32)
    small, large = (PUBLISHED[f"imagenet{size}-120"] for size in (16, 32))
    assert image_files.find(large, tmp_path / "ImageNet16") is None
    assert image_files.find(large, tmp_path) is None
    assert image_files.find(small, tmp_path) == tmp_path / "ImageNet16"
    assert read("imagenet32-120", tmp_path / "there")[0].shape == (60, 32, 32, 3)
    (tmp_path / "ImageNet16").rename(tmp_path / "unclear")
    with pytest.raises(ImageDataError, match="rows of 32 x 32 images"):
        read("imagenet32-120", tmp_path / "unclear")


def real_cifar10():
    roots = (pathlib.Path(entry) for entry in REAL if entry)
    folders = (image_files.find(PUBLISHED["cifar10"], root) for root in roots)
    return next(filter(None, folders), None)


@pytest.mark.skipif(real_cifar10() is None, reason="no CIFAR-10 in $NASJAX_DATA")
def test_real_cifar10():
    images, labels, test_images, test_labels = read("cifar10", real_cifar10())
    assert images.shape == (50_000, 32, 32, 3)
    assert test_images.shape == (10_000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [5000] * 10
    assert np.bincount(test_labels).tolist() == [1000] * 10
    facts = PUBLISHED["cifar10"]
    for colour, mean, std in zip(range(3), facts.mean, facts.std, strict=True):
        counts = np.bincount(images[..., colour].ravel(), minlength=256)
        share, value = counts / counts.sum(), np.arange(256) / 255
        assert share @ value == pytest.approx(mean, abs=1e-3)
        assert (share @ (value - mean) ** 2) ** 0.5 == pytest.approx(std, abs=1e-3)
