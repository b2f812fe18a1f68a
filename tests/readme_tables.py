"""The tables of README.md and experiments/README.md, from the files under
experiments/results.

    python tests/readme_tables.py

writes them into both documents again: below each `<!-- table: NAME (...) -->` stands
what `TABLES[NAME]` returns. tests/test_readme.py compares the two.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "results"
DOCUMENTS = (ROOT / "README.md", ROOT / "experiments" / "README.md")
MARK = re.compile(r"^<!-- table: (\S+) \(.+\) -->$")
COLUMNS = ("CIFAR-10", "CIFAR-100", "ImageNet16")
HEADER = [f"{name} {split}" for name in COLUMNS for split in ("valid", "test")]
KEYS = [
    f"{name}_{split}"
    for name in ("cifar10", "cifar100", "imagenet16")
    for split in ("valid", "test")
]
TITLES = {
    "bayesian-actor-critic": "Bayesian actor-critic",
    "local-search": "local search",
    "evolution-64": "evolution, 64 / 16",
    "evolution": "evolution, 10 / 3",
    "reinforce": "REINFORCE, lr 0.01",
    "cadam": "CADAM, on percents",
    "random": "random search",
    "ddas-nl": "DDAS-NL",
    "ddas-g": "DDAS-G",
    "ddas-td3": "DDAS-G with TD3",
}
Rows = list[list[str]]


def text(name: str, file: str = "report.txt") -> str:
    return (RESULTS / name / file).read_text(encoding="utf-8")


def data(name: str, file: str = "results.json"):
    return json.loads((RESULTS / name / file).read_text(encoding="utf-8"))


def cells(name: str, title: str, file: str = "report.txt") -> Rows:
    """The rows of the table in a report whose header starts with `title`."""
    lines = text(name, file).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    rows = []
    for line in lines[start + 2 :]:
        if not line.strip():
            break
        rows.append(re.split(r"\s{2,}", line.strip()))
    return rows


def named(name: str, title: str) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in cells(name, title)}


def seconds(name: str) -> float:
    """All that a report says of compiling and running."""
    found = re.findall(r"compile ([\d.]+) s, run ([\d.]+) s", text(name))
    return sum(float(a) + float(b) for a, b in found)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± deviation of fractions, in percent."""
    x = 100 * np.asarray(values, float)
    return f"{x.mean():.{digits}f} ± {x.std(ddof=1):.{digits}f}"


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def rounded(cell: str) -> str:
    """`91.6056 ± 0.0075` with two digits."""
    return " ± ".join(f"{float(part):.2f}" for part in cell.split(" ± "))


# NAS-Bench-201.

BEST = "best accuracy [%]"


def thesis(mark: str) -> list[str]:
    """The published row below CADAM's, such as `500`."""
    rows = cells("nb201", BEST)
    at = next(i for i, row in enumerate(rows) if row[0] == f"cadam-{mark}")
    assert rows[at + 1][0] == "published"
    return rows[at + 1][1:]


def results() -> Rows:
    direct, few = named("nb201", BEST), named("compare", "best value, queries")
    rows = [["CADAM, thesis", "1,000", "10", *thesis("1k")]]
    for name in ("cadam", "random", "evolution-64", "local-search"):
        title = "CADAM" if name == "cadam" else TITLES[name]
        rows.append([title, "1,000", "10", *direct[f"{name}-1k"]])
    for mark in ("100", "200"):
        best = map(rounded, few[f"bayesian-actor-critic, {mark}"])
        rows.append(["Bayesian actor-critic", mark, "50", *best])
    rows.append(["optimum", "", "", *direct["optimum of this table"]])
    return [["", "queries", "seeds", *HEADER], *rows]


def cadam() -> Rows:
    direct = named("nb201", BEST)
    rows = []
    for mark in ("500", "1k"):
        rows.append([f"CADAM-{mark}, thesis", *thesis(mark)])
        rows.append([f"CADAM-{mark}", *direct[f"cadam-{mark}"]])
    rows.append(["optimum (v1_1)", *direct["optimum of this table"]])
    return [["", *HEADER], *rows]


def after_1k(name: str, methods: Sequence[str]) -> Rows:
    rows = named(name, BEST)
    return [["", *HEADER], *([TITLES[m], *rows[f"{m}-1k"]] for m in methods)]


def baselines() -> Rows:
    methods = ("random", "reinforce", "evolution", "evolution-64", "local-search")
    return after_1k("nb201-baselines", methods)


def published() -> Rows:
    return [["", *HEADER], *cells("nb201-published", "accuracy of the winner")]


def ddas_table() -> Rows:
    table = after_1k("nb201-ddas", ("ddas-nl", "ddas-g", "ddas-td3"))
    return [*table, ["CADAM (above)", *named("nb201", BEST)["cadam-1k"]]]


# compare.py.

VALUES, REACHED = "best value, queries", "queries to the optimum"
COLLM = ["91.59", "94.37", "73.44", "73.44", "46.62", "46.79"]


def mean_only(cell: str) -> str:
    return f"{float(cell.split(' ± ')[0]):.2f}"


def reached(name: str, method: str) -> list[tuple[str, str, int, int]]:
    """Median and 90 % of queries, seeds that reach it and seeds, of every column."""
    found = []
    for row in cells(name, REACHED):
        if row[0] == method:
            hit, of = map(int, row[4].split("/"))
            found.append((row[2], row[3], hit, of))
    return found


def few_queries() -> Rows:
    values = named("compare", VALUES)
    rows = [
        [mark, *map(mean_only, values[f"bayesian-actor-critic, {mark}"])]
        for mark in ("50", "100", "200")
    ]
    hits = reached("compare", "bayesian-actor-critic")
    rows.append(
        ["seeds at the optimum after 200", *(f"{h} of {n}" for *_, h, n in hits)]
    )
    rows.append(["queries to the optimum, median", *(m for m, *_ in hits)])
    rows.append(["queries to the optimum, 90 %", *(q for _, q, *_ in hits)])
    rows.append(["CoLLM-NAS, published, 100 queries", *COLLM])
    return [["queries", *HEADER], *rows]


def others() -> Rows:
    values = named("compare", VALUES)
    methods = [m for m in list(TITLES)[1:] if not m.startswith("ddas")]
    table = [[TITLES[m], *map(mean_only, values[f"{m}, 200"])] for m in methods]
    return [["after 200 queries", *HEADER], *table]


def ablation() -> Rows:
    titles = {
        "bayesian-actor-critic": "whole",
        "no-actor": "no actor: random proposals, as many",
        "fixed-actor": "actor that does not learn: noise around good architectures",
        "fixed-kernel": "kernel that does not learn",
        "product-only": "kernel without the sum over edges",
        "no-climb": "no moves from the chosen proposal",
        "names-apart": "isomorphic architectures apart",
        "one-bound": "one upper confidence bound instead of a near and a far one",
        "bound-only": "upper confidence bounds only",
        "improvement-only": "expected improvement only",
    }
    values, rows = named("compare", VALUES), []
    for name, title in titles.items():
        hits = reached("compare", name)
        best = values[f"{name}, 100"][KEYS.index("imagenet16_valid")]
        rows.append(
            [
                title,
                " ".join(str(hit) for *_, hit, _ in hits),
                f"{float(best.split(' ± ')[0]):.3f}",
                hits[KEYS.index("imagenet16_valid")][0],
            ]
        )
    header = ["", "six columns", "mean best after 100", "median queries to the optimum"]
    return [header, *rows]


HELD_OUT = {
    "heldout-12ep": "six 12-epoch columns",
    "heldout-trials": "one random trial per query, four columns",
    "heldout-latency": "27 latencies and one energy, lowest wanted",
    "heldout-penalty": "CIFAR-100 accuracy minus 0.1, 0.3, 1 x latency on a Pixel 2",
    "heldout-pairwise14x2": "four tables of pairwise interactions, 14 edges of 2",
    "heldout-nk10x3": "four NK landscapes, 10 edges of 3",
    "heldout-nk5x8": "four NK landscapes, 5 edges of 8",
    "heldout-pairwise14x8": "two sparse tables of pairwise interactions, 14 edges of 8",
    "heldout-nk14x8": "two sparse NK landscapes, 14 edges of 8",
}
SEARCHERS = {
    name: TITLES[name]
    for name in ("bayesian-actor-critic", "local-search", "evolution-64", "random")
}


def held_out() -> Rows:
    rows = []
    for name, title in HELD_OUT.items():
        if not (RESULTS / name).exists():
            continue
        hits = [reached(name, method) for method in SEARCHERS]
        sums = [(sum(h for *_, h, _ in x), sum(n for *_, n in x)) for x in hits]
        seeds = str(hits[0][0][3])
        rows.append([title, seeds, *(f"{hit} of {of}" for hit, of in sums)])
    return [["", "seeds", *SEARCHERS.values()], *rows]


def ranks() -> Rows:
    """Mean rank, among all rows of the table, of the best of each search."""
    rows = []
    for name, title in HELD_OUT.items():
        if not (RESULTS / name / "summary.json").exists():
            continue
        methods = data(name, "summary.json")["mean_rank"]
        rows.append([title, *(f"{methods[method]:,.1f}" for method in SEARCHERS)])
    return [["", *SEARCHERS.values()], *rows]


def bounds() -> Rows:
    """Searches at the optimum within a bound, and the median rank of their best."""
    methods = "bayesian-actor-critic", "local-search", "evolution", "random"
    rows = []
    for entry in data("nb201-bounds", "summary.json")["bounds"]:
        row = [f"{entry['max_params'] / 1e6:g}M", f"{entry['architectures']:,}"]
        for method in methods:
            known = entry["methods"][method]
            hits = ", ".join(map(str, known["optimum_found_after"].values()))
            row.append(f"{hits}; rank {known['median_rank']:g}")
        rows.append(row)
    titles = (TITLES[method] for method in methods)
    return [["`--max-params`", "architectures", *titles], *rows]


FRONTS = {
    "fronts-latency": "27 latencies and one energy",
    "fronts-params": "parameters",
    "fronts-pairwise7x4": "three pairs of pairwise tables, 7 edges of 4",
    "fronts-nk8x3": "three pairs of NK landscapes, 8 edges of 3",
}


def fronts() -> Rows:
    """Medians over tasks, as the screen has them."""
    rows = []
    for name, title in FRONTS.items():
        summary, cells_of = data(name, "summary.json"), named(name, "method")
        for method in summary["methods"]:
            seeds = str(len(summary["seeds"]))
            rows.append([title, seeds, method, *cells_of[method]])
    header = ["", "seeds", "method", "% after 50", "% after 100"]
    return [[*header, "to 90 %", "to 95 %", "to 99 %"], *rows]


def latency_bounds() -> Rows:
    """Median queries to the constrained optimum, and the searches that reached it."""
    rows = []
    cells_of = named("bounds-latency", "method")
    for method, gaps in data("bounds-latency", "summary.json")["mean_gap"].items():
        gap = [f"{gaps[n]:.2f}" for n in ("50", "100")]
        rows.append([method, cells_of[method][-1], *gap])
    header = ["method", "queries to the optimum", "points below it after 50"]
    return [[*header, "after 100"], *rows]


# Supernets.


def supernet_nb201() -> Rows:
    rows = [
        [
            f"{mark['epoch']:.0f}",
            f"{percent(mark['batch_mean'])} %",
            f"{mark['kendall_batch']:.3f} / {mark['spearman_batch']:.3f}",
            f"{mark['kendall_running']:.3f} / {mark['spearman_running']:.3f}",
        ]
        for mark in data("supernet-nb201")["marks"]
    ]
    header = ["epoch", "mean accuracy, batch statistics"]
    kinds = ("batch", "running")
    return [
        [*header, *(f"Kendall / Spearman, {kind} statistics" for kind in kinds)],
        *rows,
    ]


def supernet_darts() -> Rows:
    rows = []
    for pair in zip(
        *(data(f"supernet-{name}")["marks"] for name in ("darts", "pc-darts")),
        strict=True,
    ):
        means = [
            f"{percent(mark['batch_mean'])} / {percent(mark['batch_best'])} %"
            for mark in pair
        ]
        rows.append([f"{pair[0]['epoch']:.0f}", *means])
    return [["epoch", "DARTS, mean / best", "PC-DARTS, mean / best"], *rows]


NAMES = {"cadam": "CADAM", "random": "random search", "evolution": "evolution"}


def search_nb201() -> Rows:
    rows = []
    keys = ("best", "validation_accuracy", "test_accuracy", "true_accuracy")
    for method, described in data("search-nb201")["methods"].items():
        seeds = described["seeds"].values()
        means = [spread([seed[key] for seed in seeds]) for key in keys]
        rank = np.median([seed["true_rank"] for seed in seeds])
        rows.append([NAMES[method], *means, f"{rank:,.0f}"])
    header = ["", "in the search", "whole validation half"]
    header += ["test images, shared weights", "true"]
    return [[*header, "median true rank of 15,625"], *rows]


def search_darts() -> Rows:
    rows = []
    for name, title in (("darts", "DARTS"), ("pc-darts", "PC-DARTS")):
        found = data(f"search-{name}")
        for method, one in found["methods"].items():
            (seed,) = one["seeds"].values()
            row = [percent(seed[f"{kind}_accuracy"]) for kind in ("validation", "test")]
            rows.append([f"{title}, {NAMES[method]}", percent(seed["best"]), *row])
        best = next(x for x in found["finalists"] if x["chosen_by"] == "validation")
        row = [percent(best[f"{kind}_accuracy"]) for kind in ("validation", "test")]
        rows.append([f"{title}, best of CADAM's top 32 by validation", "", *row])
    return [
        ["", "in the search", "5,000 validation images", "5,000 test images"],
        *rows,
    ]


# DDAS and training from scratch.


def hypervolumes(name: str, variants: dict[str, str]) -> Rows:
    rows = []
    for variant, title in variants.items():
        seeds = data(name)["variants"][variant].values()
        columns = [
            [seed["best"]["validation_accuracy"] for seed in seeds],
            [seed["last_100_accuracy"] for seed in seeds],
            *([x["hypervolume"][a] for x in seeds] for a in ("flops", "parameters")),
        ]
        rows.append([title, *map(spread, columns)])
    header = ["", "best accuracy", "mean of the last 100 steps"]
    return [[*header, "hypervolume, FLOPS", "hypervolume, parameters"], *rows]


def ddas() -> Rows:
    return hypervolumes("ddas", {"4s": "DDAS-4S", "rs": "random search"})


def ddas_ablation() -> Rows:
    titles = {
        "nl": "DDAS-NL",
        "nl-no-loss": "without the loss term",
        "nl-no-accuracy": "without the accuracy term",
        "rs": "random search",
    }
    return hypervolumes("ddas-ablation", titles)


def frontier() -> Rows:
    def test(entry: dict) -> float:
        return entry["test_accuracy"]["last"]["mean"]

    rows = []
    every = data("evaluate-frontier", "frontier.json")
    for variant, title in (("4s", "DDAS-4S"), ("rs", "random search")):
        mine = [entry for entry in every if entry["variant"] == variant]
        front = [entry for entry in mine if "flops" in entry["fronts"]]
        valid = [entry["validation_accuracy"] for entry in front]
        rho = stats.spearmanr(valid, list(map(test, front))).statistic
        best = max(mine, key=lambda entry: entry["validation_accuracy"])
        counts = str(len(mine)), percent(test(best), 2), str(len(front))
        rows.append([title, *counts, f"{rho:.3f}"])
    header = ["", "trained", "test accuracy of the best by validation"]
    return [[*header, "on the FLOPS front", "Spearman there"], *rows]


# Benchmarks and the predictor.


def predictor() -> Rows:
    line = r"^(\S+)\s+tau (\S+)\s+error (\S+)\s+class mean"
    found = re.findall(line, text("predictor"), re.M)
    titles = dict(zip(KEYS, HEADER, strict=True))
    rows = [[titles[name], tau, error] for name, tau, error in found]
    return [["", "Kendall's tau", "mean absolute error"], *rows]


def archived(file: str) -> Rows:
    found = data("bench", file)
    return [found["header"], *found["rows"]]


def bench_search() -> Rows:
    rows = cells("bench-search", "lanes ")
    head = ["lanes", "compile s", "run s", "µs per cycle", "lane-steps/s", "GFLOP/s"]
    return [head, *(row[: len(head)] for row in rows)]


def bench_supernet() -> Rows:
    """The last column is nasjax's speed as a multiple of PyTorch's."""
    head = ["DARTS, 8 cells", "training, images/s", "evaluation, images/s"]
    rows = cells("bench-supernet", "space, mode")
    ratios = [row[5] if "PyTorch" in row[0] else "" for row in rows]
    body = [[*row[:4], ratio] for row, ratio in zip(rows, ratios, strict=True)]
    return [[*head, "compile s", "nasjax by it"], *body]


def bench_evaluate() -> Rows:
    head = ["images/s", "nasjax", "PyTorch", "nasjax by it", "PyTorch, channels last"]
    own = named("bench-evaluate", "images per second")
    rows = cells("bench-evaluate", "PyTorch, images per second")
    return [
        [*head, "nasjax by it"],
        *([name, own[name][0], *rest] for name, *rest in rows),
    ]


COMPILED = {
    "supernet-eval-xla": "supernet evaluation, XLA's graphs, a batch at a time",
    "supernet-eval-earlier": "the same, the project's graphs, ten batches side by side",
    "supernet-eval": "and weights gathered once a cell, late normalisation",
    "supernet-train-earlier": "supernet training, the project's graphs",
    "supernet-train-rows": "and weights gathered once a cell, late normalisation",
    "supernet-train": "and slots looked up in branches, the gradient's norm in groups",
    "supernet-train-pallas": "supernet training with fused kernels (`--pallas`)",
    "derived": "training of a derived network of 20 cells, C = 36, batch 96 (before "
    "norms in groups)",
    "cadam-60": "CADAM, 60 lanes x 1,000 steps",
    "cadam-1000": "CADAM, 1,000 lanes x 1,000 steps",
    "bayesian-xla": "Bayesian actor-critic, 60 lanes x 200 queries, XLA's graphs",
    "bayesian": "the same with Cholesky, the project's graphs, one look-up",
}


def compiled() -> Rows:
    rows = [["program", "kernels", "host waits", "modelled (fast to slow)"]]
    for folder, title in COMPILED.items():
        part = data(f"compile-for-gpu/{folder}", "results.json")["parts"][0]
        unit, per = part["counted"]
        unit = {"cycle": "cycle", "batch": "batch"}.get(unit, "step")
        network = "supernet" in folder or folder == "derived"
        each = f" a {unit}" if "cadam" in folder or network else ""
        counts = [part[name] / (per if each else 1) for name in ("kernels", "syncs")]
        seconds = [part["seconds"][kind] for kind in ("usual", "fast", "slow")]
        if network:
            rates = [part["rated"][1] / s for s in seconds]
            speeds = [f"{float(format(rate, '.3g')):,.0f}" for rate in rates]
            model = f"{speeds[0]} images/s ({speeds[1]} to {speeds[2]})"
        else:
            times = [f"{max(part['calls'], 1) * s:.2g}" for s in seconds]
            model = f"{times[0]} s ({times[1]} to {times[2]})"
        rows.append([title, *(f"{n:,.0f}{each}" for n in counts), model])
    return rows


def simulated_workers() -> Rows:
    """Median queries to the optimum (as multiples of one worker's) and hours."""
    rows = [["method", "workers", *(f"{name} valid" for name in COLUMNS)]]
    results = data("simulated-workers")["results"]
    for method in ("bayesian-actor-critic", "local-search"):
        for workers in (1, 2, 4, 8, 16, 32):
            row = [TITLES[method], str(workers)]
            for column in ("cifar10_valid", "cifar100_valid", "imagenet16_valid"):
                wanted = (method, workers, column)
                (cell,) = (
                    x
                    for x in results
                    if (x["method"], x["workers"], x["column"]) == wanted
                )
                if cell["median_queries"] is None:
                    row.append("over 300")
                    continue
                ratio, times = cell["queries_ratio"], 1 / cell["hours_ratio"]
                row.append(
                    f"{cell['median_queries']:g} ({ratio:.2f}), "
                    f"{cell['median_hours']:.1f} h ({times:.1f} times faster)"
                )
            rows.append(row)
    return rows


def fidelities(run: str = "fidelities") -> Rows:
    """Hours to the optimum, and the best after some trainings, in percent."""
    head = ["method", "column", "hours to the optimum", "to 99.9 % of it"]
    rows = [[*head, *(f"best after {n} trainings" for n in (10, 30, 100))]]
    titles = dict(zip(KEYS, HEADER, strict=True))
    own = {"hyperband": "Hyperband", "bohb": "BOHB"} | TITLES
    own["bayesian-tasks"] = "one Gaussian process over both"
    for line in cells(run, "method, column", "results.txt"):
        if ", " not in line[0]:
            break
        method, column = line[0].split(", ")
        name = own.get(method, method.replace("-", " "))
        rows.append([name, titles[column], *line[1:]])
    return rows


def shared_tasks() -> Rows:
    """Queries of each data set to its optimum: separate searches and shared ones."""
    columns = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")
    rows = [["search", *(f"{name} valid" for name in COLUMNS)]]
    results = data("shared-tasks")["results"]
    for kind in ("separate", "together", "transfer"):
        row = [kind]
        for column in columns:
            wanted = (kind, column)
            (cell,) = (x for x in results if (x["search"], x["column"]) == wanted)
            median, last = (
                "-" if cell[name] is None else f"{cell[name]:.0f}"
                for name in ("median", "quantile_90")
            )
            p, share = cell["p_value"], f"{100 * cell['share']:.0f}%"
            tested = "" if p is None else f", p {p:.1g}"
            row.append(f"{median}, 90 % {last} ({share} of {cell['queries']}{tested})")
        rows.append(row)
    return rows


def zero_cost() -> Rows:
    """Spearman's correlations of scores, beside published ones."""
    return zero_cost_cells("spearman", "score", "{:.2f}", 1)


def zero_cost_alone() -> Rows:
    """Accuracies that a score alone finds, in percent."""
    sampled = zero_cost_cells("sampled", "best score of 1,000 random", "{:.2f}", 100)
    best = zero_cost_cells("best", "best of the top 50", "{:.2f}", 100)
    return [*sampled, [best[0][0], *[""] * len(HEADER)], *best[1:]]


def zero_cost_cells(field: str, title: str, form: str, scale: float) -> Rows:
    rows: dict[str, list[str]] = {}
    for entry in data("zero-cost")["results"]:
        value, known = entry[field], entry.get(f"published_{field}")
        value = value["50"] if isinstance(value, dict) else value
        beside = "" if known is None else f" ({form.format(known)})"
        name = entry["score"].replace("_", " ")
        rows.setdefault(name, []).append(form.format(scale * value) + beside)
    return [[title, *HEADER], *([name, *row] for name, row in rows.items())]


def guided() -> Rows:
    """Searches with and without a zero-cost score."""
    found, rows = data("guided"), []
    for name in dict.fromkeys(x["search"] for x in found["values"]):
        of_search = [x for x in found["values"] if x["search"] == name]
        for n in dict.fromkeys(x["queries"] for x in of_search):
            mine = [x for x in of_search if x["queries"] == n]
            means = [f"{100 * x['mean']:.2f} ({100 * x['share']:.0f}%)" for x in mine]
            rows.append([f"{name}, {n} queries", *means])
        mine = [x for x in found["optimum"] if x["search"] == name]
        medians = ["-" if x["median"] is None else f"{x['median']:.0f}" for x in mine]
        rows.append([f"{name}, queries to the optimum, median", *medians])
    rows.append(["p", *(f"{x['p_value']:.1g}" for x in mine)])
    return [["", *HEADER], *rows]


def section(name: str, start: str) -> Rows:
    """The rows of the table below a line of a report that starts so."""
    lines = text(name).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(start))
    rows = []
    for line in lines[at + 3 :]:
        if not line.strip():
            break
        rows.append(re.split(r"\s{2,}", line.strip()))
    return rows


def editor() -> Rows:
    """CADAM as bandit and as editor: means with 95% intervals."""
    names = {"cadam": "bandit", "cadam mode=editor": "editor"}
    rows = [
        [f"{names[name]}, {n} queries", *cells_of]
        for n in ("100", "500", "1,000")
        for name, *cells_of in section("sweep-editor", f"after {n} queries")
    ]
    return [["", *HEADER], *rows]


def query_seconds() -> Rows:
    """One search of the Bayesian actor-critic: seconds by its number of queries."""
    form = r"compile ([\d.]+) s, run ([\d.]+) s, 1 lanes x (\d+) steps"
    rows = [
        [
            f"{int(steps):,}",
            compiling,
            running,
            f"{1e3 * float(running) / int(steps):.1f}",
        ]
        for compiling, running, steps in re.findall(form, text("query-seconds"))
    ]
    return [["queries", "compile s", "run s", "ms per query"], *rows]


def fidelities_published() -> Rows:
    """Winners of the published protocol beside the row of Table 4.1."""
    titles = {
        "random": "random search, 200 epochs",
        "hyperband": "Hyperband, 12 and 200 epochs",
        "bohb": "BOHB, 12 and 200 epochs",
        "bohb-one-bracket": "the same, one bracket",
        "bohb-12-alone": "BOHB, 12 epochs alone",
        "bohb-200-alone": "BOHB, 200 epochs alone",
    }
    rows = [["", "queries", *HEADER]]
    for line in cells("fidelities-published", "accuracy of", "results.txt"):
        name = titles.get(line[0], line[0])
        rows.append([name, *([] if name in titles.values() else [""]), *line[1:]])
    return rows


def search_training() -> Rows:
    """The candidates of both methods beside the benchmark's accuracies, in percent."""
    head = ["candidate of", "searched, valid", "trained longer, test"]
    rows = [[*head, "benchmark, valid", "benchmark, test"]]
    for line in cells("search-training", "candidate of", "results.txt"):
        rows.append([TITLES.get(line[0], line[0]), *line[1:5]])
    return rows


# Commands.


def minutes(value: float) -> str:
    return f"{value:.0f} s" if value < 100 else f"{value / 60:.0f} min"


def commands() -> Rows:
    ddas = data("ddas")["variants"]
    times = {
        "nb201": seconds("nb201"),
        "compare": seconds("heldout-12ep"),
        "train_supernet": data("supernet-nb201")["train_seconds"],
        "search_supernet": sum(
            seed["seconds"]
            for one in data("search-nb201")["methods"].values()
            for seed in one["seeds"].values()
        ),
        "ddas": sum(seed["seconds"] for one in ddas.values() for seed in one.values()),
        "evaluate": data("evaluate-cpu")["train_seconds"],
    }
    tasks = {
        "nb201": ("Table 4.1: CADAM and baselines on NAS-Bench-201", ""),
        "compare": ("searchers at equal queries on any table", "--table FILE.npz"),
        "made_tables": (
            "tables from a generator",
            "--family nk --edges 9 --operations 3 --out nk.npz",
        ),
        "train_supernet": ("train a supernet", "--space nb201 --preset cpu"),
        "search_supernet": ("search a supernet", "--supernet RUN --preset cpu"),
        "ddas": ("train and search in parallel", "--variant 4s,rs --preset cpu"),
        "evaluate": (
            "train networks from scratch",
            "--genotype DARTS_V2 --preset cpu",
        ),
        "search_training": (
            "search by training every queried architecture",
            "--space nb201 --preset cpu --workers 2",
        ),
        "fidelities": ("searches that also choose how long to train", ""),
        "tables": ("the thesis's other tables beside results", "runs"),
    }
    rows = []
    for script, (task, flags) in tasks.items():
        link = f"[details](experiments/README.md#{script}py)"
        command = f"`{script}.py {flags}`".replace(" `", "`")
        time = minutes(times[script]) if script in times else ""
        rows.append([task, command, time, link])
    return [["task", "`python experiments/...`", "time", ""], *rows]


TABLES = {
    "results": results,
    "commands": commands,
    "cadam": cadam,
    "baselines": baselines,
    "published": published,
    "ddas-table": ddas_table,
    "few-queries": few_queries,
    "others": others,
    "ablation": ablation,
    "held-out": held_out,
    "ranks": ranks,
    "fronts": fronts,
    "latency-bounds": latency_bounds,
    "bounds": bounds,
    "supernet-nb201": supernet_nb201,
    "supernet-darts": supernet_darts,
    "search-nb201": search_nb201,
    "search-darts": search_darts,
    "ddas": ddas,
    "ddas-ablation": ddas_ablation,
    "frontier": frontier,
    "predictor": predictor,
    "bench-search": bench_search,
    "bench-supernet": bench_supernet,
    "bench-evaluate": bench_evaluate,
    "earlier-search": lambda: archived("search.json"),
    "earlier-searches": lambda: archived("searches.json"),
    "earlier-supernet": lambda: archived("supernet.json"),
    "compiled": compiled,
    "simulated-workers": simulated_workers,
    "search-training": search_training,
    "fidelities": fidelities,
    "fidelities-bayesian": lambda: fidelities("fidelities-bayesian"),
    "shared-tasks": shared_tasks,
    "fidelities-published": fidelities_published,
    "zero-cost": zero_cost,
    "guided": guided,
    "editor": editor,
    "query-seconds": query_seconds,
    "zero-cost-alone": zero_cost_alone,
    "earlier-evaluate": lambda: archived("evaluate.json"),
}


def markdown(rows: Rows) -> list[str]:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(line) + " |" for line in lines]


def tables(document: str) -> list[tuple[str, list[str]]]:
    """Name (empty without a mark) and lines of every table outside of code."""
    found, before, code = [], "", False
    for line in document.splitlines():
        code ^= line.startswith("```")
        if line.startswith("|") and not code:
            if not before.startswith("|"):
                mark = MARK.match(before)
                found.append((mark[1] if mark else "", []))
            found[-1][1].append(line)
        before = line
    return found


def write(path: Path) -> None:
    """Renews the tables of a document."""
    new, code = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        code ^= line.startswith("```")
        if code or not line.startswith("|"):
            new.append(line)
        if mark := MARK.match(line):
            new += markdown(TABLES[mark[1]]())
    path.write_text("\n".join(new) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for document in DOCUMENTS:
        write(document)
