"""compile_for_gpu.py: refusals everywhere, a small form where JAX compiles for CUDA."""

import json
import sys
from pathlib import Path

import pytest

from nasjax.analysis.gpu import card, compiling

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import compile_for_gpu

sys.path.pop(0)


@pytest.mark.parametrize(
    ("flags", "reason"),
    (
        ("--program cadam --cells 3", "--cells would change nothing with --program ca"),
        ("--program derived --lanes 3", "--lanes would change nothing with --program"),
        ("--program cadam --lanes 0", "1 or more"),
        ("--program nothing", "invalid choice"),
    ),
)
def test_flags_that_change_nothing_are_refused(flags, reason, capsys):
    with pytest.raises(SystemExit) as ended:
        compile_for_gpu.main(flags.split())
    assert ended.value.code == 2 and reason in capsys.readouterr().err


def test_a_target_that_is_not_there_is_refused(tmp_path, capsys):
    flags = ["--program", "cadam", "--target", "nowhere", "--out", str(tmp_path / "o")]
    assert compile_for_gpu.main(flags) == 2
    assert "--target nowhere: no such file" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_without_a_compiler_it_names_the_extra(tmp_path, capsys, monkeypatch):
    def missing(description):
        raise compiling.NoCompilerError("JAX has no compiler for CUDA here: pip ...")

    monkeypatch.setattr(compiling, "mesh", missing)
    flags = ["--program", "cadam", "--out", str(tmp_path / "o")]
    assert compile_for_gpu.main(flags) == 2
    assert "no compiler for CUDA" in capsys.readouterr().err


@pytest.mark.gpu_paper
def test_a_small_form_is_compiled_and_reported(gpu_mesh, tmp_path, capsys):
    target = tmp_path / "card.txtpb"
    target.write_text(card.description("h100"))
    out = tmp_path / "out"
    flags = ["--program", "cadam", "--small", "--target", str(target), "--steps", "2"]
    assert compile_for_gpu.main([*flags, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("nothing ran: counted and modelled for NVIDIA H100")
    assert "synchronisations with the host" in text and "bound by" in text
    results = json.loads((out / "results.json").read_text())
    (part,) = results["parts"]
    assert results["ran"] is False and part["syncs"] == 0
    assert part["seconds"]["fast"] < part["seconds"]["usual"] < part["seconds"]["slow"]
    assert (out / "report.txt").read_text().startswith("nothing ran")
    assert compile_for_gpu.main([*flags, "--out", str(out)]) == 2
    assert "holds a run" in capsys.readouterr().err
