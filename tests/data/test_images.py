"""Image data sets: where one looks for them, tensorflow_datasets, made-up ones."""

import io
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.data import images, user_images

SYNTHETIC = "59ddcc4d8dfa75d5f9322bf8046209cff532ee0aad0c2ab32cbabb3be3f80143"


@pytest.fixture(autouse=True)
def empty_world(monkeypatch, tmp_path):
    """No data set anywhere, but where the test puts one."""
    monkeypatch.delenv("NASJAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no_cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no_tfds"))


def quiet(_):
    pass


def write_cifar10(folder, labels=range(10)):
    """A small cifar-10-batches-py."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        data = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        batch = {"data": data, "labels": list(labels)}
        (folder / name).write_bytes(pickle.dumps(batch, 2))


def test_what_a_data_set_says_of_itself(tmp_path):
    folder, lines = tmp_path / "cifar-10-batches-py", []
    write_cifar10(folder)
    data = images.load("cifar10", tmp_path, log=lines.append)
    assert (data.name, data.classes, data.source) == ("cifar10", 10, str(folder))
    assert (
        data.train.images.shape == (50, 32, 32, 3) == (50, *data.test.images[0].shape)
    )
    assert data.train.labels.tolist() == [*range(10)] * 5
    assert data.test.labels.tolist() == [*range(10)]
    assert data.mean == (0.49139968, 0.48215827, 0.44653124)
    assert data.std == (0.24703233, 0.24348505, 0.26158768)
    (line,) = lines
    assert "50 training and 10 test images" in line and "50,000 and 10,000" in line


def test_where_one_looks(tmp_path, monkeypatch):
    """data_dir, then $NASJAX_DATA in order, then the cache."""
    places = [tmp_path / name for name in ("explicit", "first", "second")]
    cached = tmp_path / "cache" / "nasjax"
    for place in (*places, cached):
        write_cifar10(place / "cifar-10-batches-py")
    (tmp_path / "table.npz").touch()
    listed = (tmp_path / "table.npz", tmp_path / "absent", *places[1:])
    monkeypatch.setenv("NASJAX_DATA", os.pathsep.join(map(str, listed)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def source(data_dir=None, log=quiet):
        return images.load("cifar10", data_dir, log=log).source

    def remove(place):
        (place / "cifar-10-batches-py").rename(place / "gone")

    lines = []
    assert source(places[0], lines.append).startswith(str(places[0]))
    assert not any("is from" in line for line in lines)
    assert source().startswith(str(places[1]))
    remove(places[0])
    assert source(places[0], lines.append).startswith(str(places[1]))
    (line,) = (line for line in lines if "is from" in line)
    assert f"in {places[0]}; cifar10 is from {places[1]}" in line
    remove(places[1])
    assert source().startswith(str(places[2]))
    remove(places[2])
    assert source().startswith(str(cached))
    remove(cached)
    with pytest.raises(images.ImageDataError) as caught:
        source(places[0])
    for place in (*places, *listed, cached, tmp_path / "no_tfds"):
        assert str(place) in str(caught.value)
    for text in ("--dataset synthetic", "NASJAX_OFFLINE", "cifar-10-python.tar.gz"):
        assert text in str(caught.value)


def test_unknown_name():
    with pytest.raises(images.ImageDataError, match="'mnist'; choose from cifar10, "):
        images.load("mnist")
    assert images.NAMES[-1] == "synthetic" and len(images.NAMES) == 5


def test_unset_variable_is_named():
    with pytest.raises(images.ImageDataError, match=r"\$NASJAX_DATA is not set"):
        images.load("imagenet16-120", log=quiet)


def prepare_tfds(name, folder, splits):
    """Writes examples by split as tensorflow_datasets does, without TensorFlow."""
    pytest.importorskip("array_record")  # It comes with tensorflow_datasets on Linux.
    import tensorflow_datasets as tfds
    from PIL import Image

    def png(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        return file.getvalue()

    base = tfds.builder_cls(name.split("/")[0])
    config = {"config": name.split("/")[1]} if "/" in name else {}

    with tfds.core.registered.skip_registration():

        class Small(base):
            name = base.name
            pkg_dir_path = base.pkg_dir_path

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split) for split in splits}

            def _generate_examples(self, split):
                for i, example in enumerate(splits[split]):
                    yield i, {**example, "image": png(example["image"])}

    Small(data_dir=folder, file_format="array_record", **config).download_and_prepare()


def examples(rng, labels, size, ids=None):
    for i, label in enumerate(labels):
        image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        yield {"image": image, "label": label, **({"id": ids % i} if ids else {})}


@pytest.mark.parametrize("explicit", [True, False], ids=["data_dir", "TFDS_DATA_DIR"])
def test_cifar10_of_tfds(tmp_path, explicit):
    rng = np.random.default_rng(0)
    train = list(examples(rng, [i % 10 for i in range(25)], 32, "train_%05d"))
    test = list(examples(rng, [3, 1, 2], 32, "test_%05d"))
    folder = tmp_path / ("mine" if explicit else "no_tfds")
    prepare_tfds("cifar10", folder, {"train": train, "test": test})
    data = images.load("cifar10", folder if explicit else None, log=quiet)
    # In the order of the ids, whatever the order in the files.
    assert data.train.labels.tolist() == [i % 10 for i in range(25)]
    assert data.test.labels.tolist() == [3, 1, 2]
    assert data.train.labels.dtype == np.int32 and data.train.images.dtype == np.uint8
    for image, example in zip(data.train.images, train, strict=True):
        np.testing.assert_array_equal(image, example["image"])
    assert data.source == f"tensorflow_datasets cifar10 in {folder}"


def test_cifar10_of_tfds_as_ones_own(tmp_path):
    """The same pixels by both ways; images come in the order of the files there."""
    rng = np.random.default_rng(0)
    labels = {"train": [i % 10 for i in range(25)], "test": [3, 1, 2]}
    splits = {n: list(examples(rng, x, 32, "%05d")) for n, x in labels.items()}
    prepare_tfds("cifar10", tmp_path, splits)
    named = images.load("cifar10", tmp_path, log=quiet)
    own = user_images.load("tfds:cifar10", data_dir=tmp_path, log=quiet)
    for a, b in ((named.train, own.train), (named.test, own.test)):
        pairs = [{(x.tobytes(), y) for x, y in zip(*c, strict=True)} for c in (a, b)]
        assert pairs[0] == pairs[1] and len(a.labels) == len(b.labels)
    assert own.classes == named.classes == len(own.facts["classes"])


def test_imagenet_of_tfds(tmp_path):
    rng = np.random.default_rng(0)
    labels = [0, 119, 120, 999, 57, 500]
    splits = {"train": labels, "validation": [119, 120, 1]}
    written = {name: list(examples(rng, splits[name], 16)) for name in splits}
    prepare_tfds("imagenet_resized/16x16", tmp_path, written)
    data = images.load("imagenet16-120", tmp_path, log=quiet)
    assert sorted(data.train.labels.tolist()) == [0, 57, 119]
    assert sorted(data.test.labels.tolist()) == [1, 119]
    by_label = {e["label"]: e["image"] for e in written["train"]}
    for image, label in zip(data.train.images, data.train.labels, strict=True):
        np.testing.assert_array_equal(image, by_label[int(label)])


def test_damaged_tfds(tmp_path):
    rng = np.random.default_rng(0)
    splits = {n: list(examples(rng, [1, 2], 32, "%05d")) for n in ("train", "test")}
    prepare_tfds("cifar10", tmp_path, splits)
    (path,) = tmp_path.glob("cifar10/*/cifar10-test.array_record*")
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(len(whole) - 200) + whole[-100:])
    with pytest.raises(images.ImageDataError, match=f"{tmp_path}, test: cannot be rea"):
        images.load("cifar10", tmp_path, log=quiet)


def test_download_only_online(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)
    calls, lines = [], []
    ready = {n: list(examples(rng, [1, 2], 32)) for n in ("train", "test")}

    def data_source(name, *, data_dir, download, builder_kwargs):
        calls.append((name, str(data_dir), download))
        return ready if download else {}

    monkeypatch.setattr(tfds, "data_source", data_source)
    with pytest.raises(images.ImageDataError, match=r"not prepared.*NASJAX_OFFLINE"):
        images.load("cifar10", tmp_path, log=quiet)
    prepared = [("cifar10", str(tmp_path / d), False) for d in ("", "no_tfds")]
    assert calls == prepared
    monkeypatch.setenv("NASJAX_OFFLINE", "0")
    data = images.load("cifar10", tmp_path, log=lines.append)
    assert calls[2:] == [*prepared, ("cifar10", str(tmp_path), True)]
    assert data.train.labels.tolist() == [1, 2]
    assert lines[0] == f"images: preparing tensorflow_datasets cifar10 in {tmp_path}"
    for label, image in ((10, np.zeros((32, 32, 3), np.uint8)), (0, np.zeros((8, 8)))):
        ready["test"] = [{"image": image, "label": label}]
        with pytest.raises(images.ImageDataError, match=r"test: (label 10|images are)"):
            images.load("cifar10", tmp_path, log=quiet)
    ready["test"] = []
    with pytest.raises(images.ImageDataError, match="images are none"):
        images.load("cifar10", tmp_path, log=quiet)

    def fails(*_, **__):
        raise RuntimeError("no TensorFlow\nand more")

    monkeypatch.setattr(tfds, "data_source", fails)
    with pytest.raises(images.ImageDataError, match=r": no TensorFlow; .*synthetic"):
        images.load("cifar10", log=quiet)


def test_checksum_is_of_the_content(tmp_path):
    for name, labels in (("a", range(10)), ("b", range(10)), ("c", [*range(9), 0])):
        write_cifar10(tmp_path / name / "cifar-10-batches-py", labels)
    a, b, c = (images.load("cifar10", tmp_path / n, log=quiet) for n in "abc")
    assert a.sha256 == b.sha256 and len(a.sha256) == 64 and a.source != b.source
    assert (a.test.images == c.test.images).all() and a.sha256 != c.sha256


@pytest.mark.parametrize("count", [10, 11, 0, 1])
def test_halves(count):
    train, valid = images.halves(count)
    assert train.dtype == valid.dtype == np.int32
    assert len(train) == len(valid) == count // 2
    both = np.concatenate([train, valid])
    assert len(set(both.tolist())) == len(both)
    assert not len(both) or (both.min() >= 0 and both.max() < count)


def test_halves_are_fixed_by_the_seed():
    train, valid = images.halves(50_000)
    order = np.random.default_rng(0).permutation(50_000)
    assert train.tolist() == order[:25_000].tolist()
    assert valid.tolist() == order[25_000:].tolist()
    again = images.halves(np.zeros(50_000, np.int32))
    assert (again[0] == train).all() and (again[1] == valid).all()
    assert (images.halves(50_000, seed=1)[0] != train).any()


def test_synthetic_is_the_same_everywhere():
    lines = []
    data = images.load("synthetic", log=lines.append)
    assert "made up" in lines[0] and "made up" in data.source
    assert data.train.images.shape == (2000, 32, 32, 3)
    assert data.test.images.shape == (1000, 32, 32, 3)
    assert np.bincount(data.train.labels).tolist() == [200] * 10
    assert np.bincount(data.test.labels).tolist() == [100] * 10
    assert data.sha256 == SYNTHETIC
    pixels = data.train.images.astype(np.float64) / 255
    assert data.mean == pytest.approx(pixels.mean((0, 1, 2)))
    assert data.std == pytest.approx(pixels.std((0, 1, 2)))
    small = images.synthetic(20, 10, size=16)
    assert small.train.images.shape == (20, 16, 16, 3) and len(small.test.labels) == 10


def ridge(train, train_labels, test, test_labels):
    """Test accuracy of linear least squares on given features."""
    train, test = (np.c_[x, np.ones(len(x))] for x in (train, test))
    target = np.eye(10)[train_labels]
    gram = train.T @ train + 1e-3 * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ target)
    return ((test @ weights).argmax(1) == test_labels).mean()


def test_synthetic_needs_shapes_and_they_suffice():
    """Mean colours and their products give chance; averages of filters nearly all."""
    data = images.synthetic(1000, 500)
    kernel = np.random.default_rng(0).normal(0, 0.3, (7, 7, 3, 32)).astype(np.float32)

    def colour(x):
        mean = x.reshape(len(x), -1, 3).mean(1) / 255 - 0.5
        return np.c_[mean, (mean[:, :, None] * mean[:, None]).reshape(len(x), 9)]

    @jax.jit
    def filters(x):
        x = x.astype(jnp.float32) / 255 - 0.5
        y = jax.lax.conv(
            x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), (2, 2), "VALID"
        )
        return (y**2).mean((2, 3))

    def accuracy(features):
        train, test = (
            np.asarray(features(x), np.float64)
            for x in (data.train.images, data.test.images)
        )
        return ridge(train, data.train.labels, test, data.test.labels)

    assert accuracy(colour) < 0.2
    assert accuracy(filters) > 0.8
