"""Tables of text."""

from collections.abc import Sequence

from nasjax.analysis.statistics import Paired, p_value

Rows = Sequence[Sequence[str]]


def text_table(header: Sequence[str], rows: Rows) -> str:
    """Columns of text, the first flush left, the others flush right."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(table[0]), rule, *map(line, table[1:])])


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
      digits: format of a number.
    """

    def cells(pair: Paired | None) -> list[str]:
        if pair is None:
            return ["none"] * 3
        difference, low, high = (format(x, f"+{digits}") for x in pair[:3])
        return [difference, f"[{low}, {high}]", p_value(pair.p_value)]

    header = [*header, unit, "95% interval", "Wilcoxon p"]
    return text_table(header, [[*labels, *cells(pair)] for labels, pair in rows])
