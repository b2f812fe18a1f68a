"""Images of one's own: folders, npz files, sets prepared by TFDS; split, refused."""

import io
import shutil
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nasjax.data import encoded, image_forms, images, user_images
from nasjax.data.image_files import ImageDataError

CLASSES = 37


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nasjax" / "images"


def quiet(_):
    pass


def encode(pixels, kind="png"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write(folder, counts, size=(28, 28), seed=0):
    """Gray images, as PNG; returns them by class."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        made[name] = rng.integers(0, 256, (count, *size), dtype=np.uint8)
        for i, pixels in enumerate(made[name]):
            (folder / name / f"{i:02d}.png").write_bytes(encode(pixels))
    return made


def load(path, **options):
    options = {"log": quiet, **options}
    return user_images.load(str(path), **options)


def test_a_gray_set_of_37_classes_with_a_broken_file(tmp_path, cache):
    counts = {f"letter-{i:02d}": 5 + i % 3 for i in range(CLASSES)}
    made = write(tmp_path / "letters", counts)
    broken = tmp_path / "letters" / "letter-02" / "03.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "letters" / "letter-00" / "notes.txt").write_text("no image")
    with pytest.raises(ImageDataError, match=r"1 of 221 .* letter-02/03\.png \(") as no:
        load(tmp_path / "letters", size=28)
    assert "--corrupt skip" in str(no.value)
    lines = []
    data = load(tmp_path / "letters", size=28, corrupt="skip", log=lines.append)
    assert data.name == "letters" and data.classes == CLASSES
    assert data.facts["classes"] == sorted(counts)
    assert data.facts["skipped"] == ["letter-02/03.png"]
    # A fifth of each class, rounded down, is at least one image.
    assert data.facts["counts"]["test"] == [1] * CLASSES
    expected = [n - 1 - (name == "letter-02") for name, n in counts.items()]
    assert data.facts["counts"]["train"] == expected
    assert data.facts["imbalance"] == 6 / 4 == max(expected) / min(expected)
    assert "imbalance 1.5" in lines[-1] and "37 classes" in lines[-1]
    assert any("letter-00/notes.txt" in line for line in lines)
    assert any("letter-02/03.png" in line for line in lines)
    # Of the size they have, pixels stay what they are: gray in three channels.
    known = {(x.tobytes(), name) for name in made for x in made[name]}
    for part in (data.train, data.test):
        assert part.images.shape[1:] == (28, 28, 3) and part.labels.dtype == np.int32
        for image, label in zip(*part, strict=True):
            assert (image == image[..., :1]).all()
            known.remove((image[..., 0].tobytes(), f"letter-{label:02d}"))
    assert {name for _, name in known} == {"letter-02"} and len(known) == 1
    pixels = data.train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std(0), rtol=1e-12)
    # Decoded once; a file that changed is seen, whatever its name and date.
    (kept,) = cache.iterdir()
    again = load(tmp_path / "letters", size=28, corrupt="skip")
    assert again.sha256 == data.sha256 and again.facts == data.facts
    shutil.copyfile(broken.with_name("02.png"), broken)
    whole = load(tmp_path / "letters", size=28)
    assert whole.facts["files_sha256"] != data.facts["files_sha256"]
    assert whole.facts["skipped"] == [] and len(list(cache.iterdir())) == 2
    assert load(tmp_path / "letters", size=28, seed=1).sha256 != whole.sha256
    assert kept.exists()


def test_what_is_decoded_is_not_decoded_again(tmp_path, cache, monkeypatch):
    write(tmp_path / "set", {"a": 5, "b": 5})
    first = load(tmp_path / "set")
    (kept,) = cache.iterdir()

    def never(data, size):
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(encoded, "pixels", never)
        assert load(tmp_path / "set").sha256 == first.sha256
    kept.write_bytes(b"cut")  # a damaged copy is made again
    assert load(tmp_path / "set").sha256 == first.sha256


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    write(tmp_path / "set", {"a": 5, "b": 5})
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    lines = []
    assert load(tmp_path / "set", log=lines.append).classes == 2
    assert any("cannot be written" in line for line in lines)


def test_sizes_by_hand():
    """The largest square at the centre; halving it averages alike pixels exactly."""
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6], wide[:, :2], wide[:, 6:] = (10, 20, 30), 255, 255
    np.testing.assert_array_equal(
        encoded.pixels(encode(wide), 4), np.full((4, 4, 3), (10, 20, 30))
    )
    assert encoded.pixels(encode(wide), 9).shape == (9, 9, 3)
    deep = Image.fromarray(np.zeros((4, 4), np.uint16))
    file = io.BytesIO()
    deep.save(file, "png")
    with pytest.raises(ValueError, match="I;16, not of 8 bits"):
        encoded.pixels(file.getvalue(), 4)


def test_pictures_are_turned_as_cameras_say():
    """EXIF orientation 6: the top row is the right side of the scene."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[0] = 255
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(file, "png", exif=exif)
    turned = encoded.pixels(file.getvalue(), 8)
    assert (turned[:, -1] == 255).all() and (turned[:, :-1] == 0).all()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("train", "test"), {"train": 8, "valid": 0, "test": 6}),
        (("train", "val"), {"train": 8, "valid": 0, "test": 6}),
        (("train", "valid", "test"), {"train": 8, "valid": 6, "test": 6}),
        (("train",), {"train": 6, "valid": 0, "test": 2}),
    ],
)
def test_parts_in_folders(tmp_path, parts, expected):
    for seed, part in enumerate(parts):
        count = 4 if part == "train" else 3
        write(tmp_path / "set" / part, {"a": count, "b": count}, seed=seed)
    data = load(tmp_path / "set", size=28)
    for part, count in expected.items():
        assert len(getattr(data, part).labels) == count
    assert data.facts["classes"] == ["a", "b"]


def test_the_first_images_of_a_part_are_of_many_classes(tmp_path):
    """Files come class by class, and `train_images` takes the first so many."""
    for part, count in (("train", 8), ("test", 8)):
        write(tmp_path / "set" / part, dict.fromkeys("abcd", count), (8, 8))
    data = load(tmp_path / "set", size=8)
    for labels in (data.train.labels, data.test.labels):
        assert (
            len(np.unique(labels[:12])) == 4 and np.bincount(labels).tolist() == [8] * 4
        )


def test_a_passing_read_error_is_forgotten(tmp_path, monkeypatch):
    write(tmp_path / "set", {"a": 5, "b": 5})
    whole, pixels = load(tmp_path / "set"), encoded.pixels
    shutil.rmtree(tmp_path / "cache")
    tries = []

    def once(data, size):
        tries.append(data)
        if len(tries) == 1:
            raise OSError("the disk is away")
        return pixels(data, size)

    monkeypatch.setattr(encoded, "pixels", once)
    with pytest.raises(ImageDataError, match="the disk is away"):
        load(tmp_path / "set")
    assert load(tmp_path / "set").sha256 == whole.sha256
    assert len(tries) == 10 + 1  # only the damaged one is decoded again


def remove_all(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such file or folder"),
        (lambda s: shutil.rmtree(s / "b"), "only one class, a;"),
        (lambda s: remove_all(s / "b"), "b: no image file in this class folder"),
        (lambda s: (s / "b" / "01.png").unlink(), r"at least 2 .* 1 of 2 .*: b \(1\)"),
        (lambda s: write(s / "train", {"a": 1}), "train: no image file in"),
        (lambda s: [shutil.rmtree(s / x) for x in "ab"], "no class folders"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, spoil, message):
    write(tmp_path / "set", {"a": 2, "b": 2})
    spoil(tmp_path / "set")
    with pytest.raises(ImageDataError, match=message):
        load(tmp_path / "set")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/a", "train/b", "test/a", "test/c"), "test: no training images of c"),
        (("train/a", "test/a", "c"), "test, train and also c"),
        (("train/a", "val/a", "valid/a"), "two validation parts"),
    ],
)
def test_parts_that_do_not_fit(tmp_path, folders, message):
    write(tmp_path / "set", dict.fromkeys(folders, 2))
    with pytest.raises(ImageDataError, match=message):
        load(tmp_path / "set")


def test_settings_that_are_refused(tmp_path):
    write(tmp_path / "set", {"a": 2, "b": 2})
    for options, message in (
        ({"size": 7}, "--image-size 7: allowed is at least 8"),
        ({"corrupt": "keep"}, "allowed: refuse, skip"),
        ({"data_dir": tmp_path}, "--data-dir .*: not with --dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "set", **options)


def arrays(**changes):
    rng = np.random.default_rng(0)
    draw = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    whole = {"images": draw, "labels": np.array([3, 9, 9, 3, 3, 9])} | changes
    return {key: value for key, value in whole.items() if value is not None}


def row_of(image, images):
    return int(np.flatnonzero((images == image[..., 2]).all((1, 2)))[0])


def test_an_npz(tmp_path):
    path, lines = tmp_path / "set.npz", []
    extra = arrays()["images"][:2]
    names = np.array(["wasp", "ant", "ant", "wasp", "wasp", "ant"])
    test = {"test_images": extra[..., None], "test_labels": np.array(["ant", "wasp"])}
    np.savez(path, **arrays(labels=names, **test, note=np.zeros(3)))
    data = load(path, size=28, log=lines.append)
    assert data.facts["classes"] == ["ant", "wasp"] and data.name == "set"
    rows = [row_of(image, arrays()["images"]) for image in data.train.images]
    assert sorted(rows) == list(range(6))
    assert data.train.labels.tolist() == [[1, 0, 0, 1, 1, 0][row] for row in rows]
    rows = [row_of(image, extra) for image in data.test.images]
    assert data.test.labels.tolist() == rows and sorted(rows) == [0, 1]
    assert "note" in lines[0]
    np.savez(path, **arrays())
    data = load(path, size=32)
    assert data.facts["classes"] == ["3", "9"] and data.classes == 2
    assert data.train.images.shape == (4, 32, 32, 3) and len(data.test.labels) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "no labels, only images"),
        (
            {"images": np.zeros((6, 4, 4), np.float32)},
            r"images are float32 \[6, 4, 4\]",
        ),
        (
            {"images": np.zeros((6, 4, 4, 4), np.uint8)},
            r"\[6, 4, 4, 4\]; .* C = 1 or 3",
        ),
        ({"labels": np.zeros(5, int)}, r"labels are int64 \[5\]; .* each of 6 images"),
        ({"labels": np.zeros(6)}, r"labels are float64 \[6\]; allowed: an integer"),
        ({"labels": np.array(["a"] * 6, object)}, "labels are Python objects"),
        ({"test_images": np.zeros((1, 4, 4), np.uint8)}, "no test_labels, only"),
        (
            {
                "valid_images": np.zeros((1, 4, 4), np.uint8),
                "valid_labels": np.array([4]),
            },
            "valid_labels has 4, which no training image has",
        ),
        (
            {
                "test_images": np.zeros((2, 28, 28), np.uint8),
                "test_labels": np.array(["3", "9"]),
            },
            "test_labels are <U1, labels int64; allowed: integers in both",
        ),
    ],
)
def test_npz_files_that_cannot_be_used(tmp_path, changes, message):
    np.savez(tmp_path / "set.npz", **arrays(**changes))
    with pytest.raises(ImageDataError, match=message):
        load(tmp_path / "set.npz")


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ImageDataError, match=r"set\.npz: cannot be read"):
        load(tmp_path / "set.npz")


class Split(list):
    """Records, as `tfds.data_source` gives them."""

    def __init__(self, records, label):
        super().__init__(records)
        features = {"image": None, "label": label}
        self.dataset_info = types.SimpleNamespace(features=features)


@pytest.fixture
def flowers(monkeypatch):
    """A stand-in for a prepared set of images of different sizes."""
    rng, asked = np.random.default_rng(0), []
    label = types.SimpleNamespace(names=["rose", "tulip"])

    def records(count):
        for i in range(count):
            size = (*rng.integers(9, 30, 2), 3)
            pixels = rng.integers(0, 256, size, dtype=np.uint8)
            yield {"image": encode(pixels, "jpeg"), "label": i % 2}

    counts = {"train": 6, "validation": 4, "test": 8, "extra": 2}
    splits = {name: Split(records(n), label) for name, n in counts.items()}

    def data_source(name, *, data_dir, **options):
        asked.append((name, data_dir))
        assert set(options) == {"download", "builder_kwargs", "decoders"}
        assert options["download"] is False
        return splits

    monkeypatch.setattr(tfds, "data_source", data_source)
    return splits, asked


def test_a_set_of_tensorflow_datasets(flowers):
    data = load("tfds:oxford_flowers102", size=16, data_dir="/there")
    assert flowers[1] == [("oxford_flowers102", "/there")]
    assert data.facts["classes"] == ["rose", "tulip"]
    sums = {part: sum(x) for part, x in data.facts["counts"].items()}
    assert sums == {"train": 6, "valid": 4, "test": 8}
    assert data.train.images.shape == (6, 16, 16, 3)
    assert data.source == "tensorflow_datasets oxford_flowers102 in /there"
    flowers[0]["test"][3]["image"] = b"broken"
    with pytest.raises(ImageDataError, match=r"1 of 18 .* test/tulip/3"):
        load("tfds:oxford_flowers102")
    skipped = load("tfds:oxford_flowers102", corrupt="skip")
    assert len(skipped.test.labels) == 7


def test_sets_of_tensorflow_datasets_that_cannot_be_used(flowers):
    splits, _ = flowers
    splits["train"][1]["label"] = 2
    with pytest.raises(ImageDataError, match="train, record 1: label 2, not 0 to 1"):
        load("tfds:flowers")
    splits["train"] = Split([], None)
    with pytest.raises(ImageDataError, match="features are image, label; expected"):
        load("tfds:flowers")
    del splits["train"]
    message = "no train split of flowers .*its splits are .* tfds build flowers --file"
    with pytest.raises(ImageDataError, match=message):
        load("tfds:flowers")


@given(
    counts=st.lists(st.integers(2, 9), min_size=1, max_size=5),
    share=st.sampled_from([0.2, 0.5]),
    seed=st.integers(0, 99),
)
def test_stratified_parts(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [str(i) for i in range(len(counts))]
    first, second = user_images.stratified(labels, share, seed, names, "made")
    assert sorted([*first, *second]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        inside = int((labels[second] == label).sum())
        assert inside == max(int(count * share), 1) < count


def test_names(tmp_path):
    assert [user_images.is_own(x) for x in ("cifar10", "tfds:a", "/a/b")] == [0, 1, 1]
    short = [user_images.short_name(x) for x in ("cifar10", "tfds:a/b:1", "/c/d.npz")]
    assert short == ["cifar10", "a-b-1", "d"]
    assert image_forms.CORRUPT[0] == "refuse"
    assert images.synthetic(20, 10).facts == {}
