"""Text tables."""

from collections.abc import Sequence

from nasjax.analysis.statistics import Paired, p_value

Rows = Sequence[Sequence[str]]


def text_table(header: Sequence[str], rows: Rows) -> str:
    """Columns of text, the first flush left, the others flush right.

    Args:
      header: titles; a title may have several lines.
      rows: strings, as many as titles.
    """
    split = [title.splitlines() or [""] for title in header]
    height = max(map(len, split))
    titles = list(zip(*([""] * (height - len(x)) + x for x in split), strict=True))
    table = [*titles, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    lines = list(map(line, table))
    return "\n".join([*lines[:height], rule, *lines[height:]])


def paired_table(
    header: Sequence[str],
    rows: Sequence[tuple[Sequence[str], Paired | None]],
    unit: str = "points",
    digits: str = ".2f",
) -> str:
    """Paired comparisons: labels, difference, 95% interval, Wilcoxon's p.

    Args:
      header: of the labels.
      rows: labels, and the comparison; None where too few seeds can be compared.
      unit: of the differences.
      digits: format of a difference, such as ".2f".
    """

    def cells(pair: Paired | None) -> list[str]:
        if pair is None:
            return ["none"] * 3
        difference, low, high = (format(x, f"+{digits}") for x in pair[:3])
        return [difference, f"[{low}, {high}]", p_value(pair.p_value)]

    header = [*header, unit, "95% interval", "Wilcoxon p"]
    return text_table(header, [[*labels, *cells(pair)] for labels, pair in rows])


def short(count: int) -> str:
    """A number of queries for labels: 500, 1k, 20k."""
    whole = count >= 1000 and count % 1000 == 0
    return f"{count // 1000}k" if whole else str(count)
