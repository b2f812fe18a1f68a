"""The style of pictures; matplotlib is imported when one is drawn."""


def pyplot():
    """matplotlib.pyplot, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def panels(count: int, size: tuple[float, float]):
    """A figure and `count` axes of `size` inches, three in a row."""
    plt = pyplot()
    across = min(count, 3)
    down = -(-count // across)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(size[0] * across, size[1] * down),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes.flat[:count]
