"""What is installed is what was meant."""

import subprocess
import sys
import zipfile
from pathlib import Path

import nasjax

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_weights_a_gpu_and_the_type_marker(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    done = subprocess.run(
        [*command, "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    assert {"nasjax/py.typed", "nasjax/analysis/gpu/h100_sxm.txtpb"} <= sizes.keys()
    assert 10_000 < sizes["nasjax/data/nb201/predictor.npz"] < 300_000
    assert {name.split("/")[0] for name in sizes if "dist-info" not in name} == {
        "nasjax"
    }


def test_everything_public_is_there():
    for name in nasjax.__all__:
        assert getattr(nasjax, name) is not None
