"""Configurations of runs: fields with help texts, JSON, and the rules of resuming."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class ConfigMismatchError(ValueError):
    """A run is resumed with another configuration than it was started with."""


class Rules(NamedTuple):
    """Which differences between two configurations are allowed.

    Attributes:
      free: fields that fix no result.
      grows: fields that a resumed run may extend: lists by further entries, mappings
        by further names, numbers upwards.
      absent: values of fields that older versions did not write, by dotted names such
        as `configs.cadam.tau`. They are filled in on both sides, since a run may read
        what an older version wrote, but not where the mapping around them is absent.
    """

    free: tuple[str, ...] = ()
    grows: tuple[str, ...] = ()
    absent: Mapping[str, Any] = {}


def compare(
    path: Path, before: Mapping[str, Any], now: Mapping[str, Any], rules: Rules
) -> dict[str, Any]:
    """Compares a resumed run's configuration with the one that it was started with.

    Args:
      path: of the older one, for messages.
      before, now: the two.
      rules: see `Rules`.

    Returns:
      The content of config.json from now on: the newer one, if something grew.

    Raises:
      ConfigMismatchError: names every field that differs, except those that grew.
    """
    known, now = _filled(before, rules.absent), _filled(now, rules.absent)
    names = sorted({*known, *now} - {*rules.free})
    changed = [name for name in names if known.get(name) != now.get(name)]
    if not changed:
        return dict(before)
    wrong: list[str] = []
    for name in changed:
        differences = _differences(name, known, now)
        if name in rules.grows:
            if _extends(known.get(name), now.get(name)):
                continue
            differences = differences or [f"{name} differs"]
            differences[-1] += " (--resume can add to it, not take away)"
        wrong += differences
    if wrong:
        raise ConfigMismatchError(
            f"--resume with another configuration ({path}): {'; '.join(wrong)}"
        )
    return now


def defaults(configs: Mapping[str, Any], prefix: str = "configs.") -> dict[str, Any]:
    """`Rules.absent` for dataclasses by name: defaults of fields that came later.

    A field without a default, as a plugin's config may have, is left out.
    """
    return {
        f"{prefix}{name}.{field.name}": json.loads(json.dumps(field.default))
        for name, config in configs.items()
        for field in dataclasses.fields(config)
        if field.default is not dataclasses.MISSING
    }


def _filled(config: Mapping[str, Any], absent: Mapping[str, Any]) -> dict[str, Any]:
    filled = json.loads(json.dumps(config))
    for name, value in absent.items():
        *path, last = name.split(".")
        at = filled
        for part in path:
            at = at.get(part) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.setdefault(last, value)
    return filled


def _extends(before: Any, now: Any) -> bool:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return all(now.get(name) == value for name, value in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return all(value in now for value in before)
    if isinstance(before, int | float) and isinstance(now, int | float):
        return now >= before
    return before == now


def _differences(name: str, before: Mapping, now: Mapping) -> list[str]:
    old, new = (flat({name: x[name]} if name in x else {}) for x in (before, now))
    return [
        f"{n}: {old.get(n)!r} then, {new.get(n)!r} now"
        for n in sorted(old.keys() | new.keys())
        if old.get(n) != new.get(n)
    ]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names, so that an error can name just those."""
    fields_by_path: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            fields_by_path |= flat(value, f"{prefix}{name}.")
        else:
            fields_by_path[prefix + name] = value
    return fields_by_path


def named(presets: Mapping[str, Any], name: str) -> Any:
    """The preset of that name.

    Raises:
      ValueError: there is none.
    """
    if name not in presets:
        raise ValueError(f"preset is {name!r}; allowed: {', '.join(presets)}")
    return presets[name]


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      ValueError: the file holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds {json.dumps(content)[:40]}, not an object {{...}}"
        )
    return content


def setting(default: Any, text: str, *, flag: bool = True) -> Any:
    """A dataclass field: its default and help text; `flag=False`: no flag sets it."""
    return dataclasses.field(default=default, metadata={"help": text, "flag": flag})


def fields(config: Any) -> Iterator[tuple[dataclasses.Field, Any]]:
    """Fields of a dataclass with their values; a nested one's fields in its place."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value)
        else:
            yield field, value


def replaced(config: Any, **values: Any) -> Any:
    """`dataclasses.replace` that also finds the fields of nested dataclasses.

    Raises:
      TypeError: no field has such a name.
    """
    for field in dataclasses.fields(config):
        inner = values.get(field.name, getattr(config, field.name))
        if dataclasses.is_dataclass(inner):
            names = values.keys() & {nested.name for nested, _ in fields(inner)}
            changes = {name: values.pop(name) for name in names}
            values[field.name] = replaced(inner, **changes)
    return dataclasses.replace(config, **values)


def to_json(config: Any) -> dict[str, Any]:
    """All fields by name as JSON has them, nested ones beside the others.

    Fields without a flag are left out while they are empty (0, "" or ()): they are not
    known yet, or not for this run.
    """
    return {
        field.name: list(value) if isinstance(value, tuple) else value
        for field, value in fields(config)
        if value or field.metadata.get("flag", True)
    }


def from_json(
    default: Any, content: Mapping[str, Any], absent: Mapping[str, Any]
) -> Any:
    """The dataclass that `to_json` wrote; other names in it are ignored.

    Args:
      default: an instance, whose values stand for absent fields without a flag.
      content: what was read.
      absent: values of fields that older versions did not write.

    Raises:
      ValueError: another field is absent, or a value is not allowed.
    """
    values = {}
    for field, _ in fields(default):
        if field.name in content:
            value = content[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
        elif field.name in absent:
            values[field.name] = absent[field.name]
        elif field.metadata.get("flag", True):
            raise ValueError(f"the configuration lacks {field.name}")
    return replaced(default, **values)


def read_run(folder: Path, kind: Any, what: str, script: str) -> Any:
    """The configuration of a training, from its folder.

    Args:
      folder: with config.json.
      kind: SupernetRun or NetworkRun.
      what: "supernet" or "network", for messages.
      script: the one that writes such folders, for messages.

    Raises:
      FileNotFoundError: there is no config.json.
      ValueError: it is not of that kind.
    """
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no {what}: {path} is missing (train one with "
            f"experiments/{script}.py --out {folder})"
        )
    try:
        run = kind.from_json(content := read_object(path))
        if "steps_per_epoch" not in content:
            raise ValueError("the configuration lacks steps_per_epoch")
    except ValueError as error:
        raise ValueError(f"{path} is of no {what}: {error}") from error
    return run
