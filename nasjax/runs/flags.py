"""Flags of the searchers' configs: each acts on a method that runs, or is refused."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nasjax.runs import cli, plugins
from nasjax.runs.methods import METHODS, PLUGINS, PRESETS, SEARCHERS, USUAL, Method
from nasjax.searchers.config import Config

Presets = Mapping[str, Callable[[], Any]]


def families(offered: Iterable[str]) -> dict[str, list[str]]:
    """The methods that have a config, by the prefix of the flags that they share."""
    names_by_prefix: dict[str, list[str]] = {}
    for name in offered:
        if METHODS[name].config is not None:
            names_by_prefix.setdefault(METHODS[name].prefix or "", []).append(name)
    return names_by_prefix


def add(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    offered: Sequence[str] = SEARCHERS,
    presets: Presets = PRESETS,
    usual: Sequence[str] = USUAL,
) -> None:
    """`--plugin`, `--methods`, `--preset` and a flag per field of methods' configs.

    Args:
      parser: gets the flags; has `--out` and `--resume` already.
      argv: the command line, of which plugins are read first.
      offered: names of methods; those of plugins follow.
      presets: CADAM's settings by name, the default one first.
      usual: the default methods, for the help text.

    Errors of plugins, and flags of theirs that the script has already, end the program
    with status 2.
    """
    plugins.add(parser, argv)
    offered = (*offered, *PLUGINS)
    first = next(iter(presets))
    parser.add_argument(
        "--methods",
        type=cli.names(offered),
        default=None,
        metavar="NAME,...",
        help=f"of {', '.join(offered)} (default: {', '.join(usual)})",
    )
    parser.add_argument(
        "--preset",
        choices=tuple(presets),
        default=None,
        help=f"CADAM's settings (default {first})",
    )
    for prefix, names in families(offered).items():
        default = METHODS[names[0]].config
        default = presets[first]() if names[0] == "cadam" else default
        title = f"settings of {', '.join(names)}"
        if len(names) > 1:
            title += f" (defaults: those of {names[0]})"
        try:
            cli.add_config_flags(parser, default, prefix, title)
        except argparse.ArgumentError as error:  # a plugin's flag is the script's own
            parser.error(f"{names[0]}: {error}")


def configs(
    args: argparse.Namespace,
    offered: Sequence[str] = SEARCHERS,
    presets: Presets = PRESETS,
    *,
    only_cadams: bool = True,
) -> dict[str, Any]:
    """Each offered method's config from the parsed flags.

    Args:
      args: of `add`; `args.methods` are those that run. Without `--preset`,
        `args.preset` becomes the first of `presets`.
      offered, presets: as for `add`.
      only_cadams: a preset holds CADAM's config alone and is refused without cadam.

    Raises:
      ValueError: a flag changes none of the methods that run, or `only_cadams` and a
        preset without cadam.
    """
    if args.preset is not None and only_cadams and "cadam" not in args.methods:
        raise ValueError(
            f"--preset {args.preset} would change nothing: it is of cadam, which "
            "--methods leaves out"
        )
    args.preset = args.preset or next(iter(presets))
    offered = (*offered, *PLUGINS)
    configs_of = {}
    for prefix, names in families(offered).items():
        chosen = {}
        for name in names:
            method = METHODS[name]
            if name == "cadam":
                method = method._replace(config=presets[args.preset]())
            configs_of[name] = configured(args, prefix, method)
            if name in args.methods:
                chosen[name] = method
        refuse_idle(args, prefix, METHODS[names[0]].config, chosen, names)
    return configs_of


def record(args: argparse.Namespace) -> dict[str, Any]:
    """Plugins, and configs of the methods that run, as config.json records them."""
    chosen = {n: c for n, c in args.configs.items() if n in args.methods}
    configs = {name: dataclasses.asdict(config) for name, config in chosen.items()}
    return {**plugins.record(args), "configs": configs}


def configured(args: argparse.Namespace, prefix: str, method: Method) -> Any:
    """The method's config with the fields that flags set."""
    config = cli.config_from_flags(args, method.config, prefix, method.fixed)
    return method.finish(config)


def refuse_idle(
    args: argparse.Namespace,
    prefix: str,
    default: Any,
    chosen: Mapping[str, Method],
    offered: Sequence[str],
    flag: str = "--methods",
) -> None:
    """Refuses a flag of a config's field if it would change no method that runs.

    If it changes only some of them, a line names the others, with reasons. With
    `--resume`, a field that the config does not use (see `Config.unused`) is accepted:
    a run of an older version may have been started with it.

    Args:
      args: parsed flags.
      prefix: of the config's flags.
      default: a config of that class.
      chosen: the methods that run and have such configs.
      offered: names of all methods with such configs, for the message.
      flag: the one that chooses methods, for the message.

    Raises:
      ValueError: names the flag and why it would change nothing.
    """
    for name, value in cli.changes(args, default, prefix).items():
        reasons = []
        for key, method in chosen.items():
            config = configured(args, prefix, method)
            # A plugin's config need not say which of its fields have no effect.
            unused = config.unused() if isinstance(config, Config) else {}
            if name in method.fixed:
                reasons.append(f"it is {getattr(config, name)} in {key}")
            elif not args.resume and (by := unused.get(name)) is not None:
                reasons.append(f"{key} has {by} {getattr(config, by)}")
        if not chosen:
            reasons = [f"it is of {', '.join(offered)}, which {flag} leaves out"]
        elif len(reasons) < len(chosen):
            if reasons:
                text = f"{cli.flag(prefix, name)} {value} does not change all methods: "
                print(text + "; ".join(reasons), file=sys.stderr)
            continue
        raise ValueError(
            f"{cli.flag(prefix, name)} {value} would change nothing: "
            f"{'; '.join(reasons)}"
        )
