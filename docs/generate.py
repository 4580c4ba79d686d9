"""MkDocs hook: the reference pages that the code itself knows, written anew at each build.

Commands come from Typer, settings from the pydantic models, recipes from their files, choices from the registries.
Nothing of them is kept in the repository, so they cannot fall behind.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import stdl_events
from stdl_events.cli import app
from stdl_events.cli.options.registry_options import explain_choices, update_choices
from stdl_events.events.formats import FORMATS, WRITERS
from stdl_events.recipes import describe_recipes
from stdl_events.recipes.resolve import RECIPE, resolve
from stdl_events.registry import Registry
from stdl_events.training.overrides import shown_value
from stdl_events.training.settings import TrainConfig

RECIPES_INTRODUCTION = """# Recipes

A recipe is a complete configuration. `stdl-events train RECIPE --show` prints all of its settings and where each is
from: `base` (what every recipe starts from), `recipe`, `variant` (`--variant NAME`), `--config` (a file of settings),
`--set`, or another option. Each wins over those before it. Here are the settings that a recipe does not take from the
base; the meanings are those of the [settings](settings.md). Generated from the recipes themselves.
"""

FORMATS_INTRODUCTION = """# File formats

A file is recognised by its first bytes; a format without any is recognised by its suffix, or named with `--format`.
Every reader gives the same events: `t` in microseconds, `x` and `y` from the top left, `p` True for brighter, sorted by
time. Backward time steps are sorted, counted and warned about; `--strict` makes them an error. A damaged file is one
line with the byte offset; `--repair` uses the events before the damage, and counts them.

Other streams of an AEDAT 4 file (pictures, IMU samples, triggers) are read by the package aedat in a process of its
own, since it aborts on damaged files; `info` and `show` use them.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def pages() -> dict[str, str]:
    """Path -> Markdown of every generated page."""
    return {
        "reference/commands.md": "\n".join(commands()),
        "reference/settings.md": "\n".join(settings()),
        "reference/recipes.md": "\n".join(recipes()),
        "reference/choices.md": "\n".join(choices()),
        "reference/formats.md": "\n".join(formats()),
        "reference/python.md": "\n".join(python()),
    }


def commands() -> Iterator[str]:
    """Every command with its help text, as the terminal shows it."""
    update_choices()
    explain_choices()
    group = typer.main.get_command(app)
    yield "# Commands\n"
    yield "`stdl-events COMMAND --help` prints the same. Generated from the command line itself.\n"
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        context = typer.Context(command, info_name=f"stdl-events {name}", terminal_width=80, max_content_width=80)
        yield f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


def settings() -> Iterator[str]:
    """Every key that `--set` takes: type, default, meaning."""
    yield "# Settings\n"
    yield "Keys of a recipe and of `--set KEY=VALUE`. Generated from the settings of `stdl_events.training`.\n"
    for prefix, section in sections(TrainConfig, ""):
        yield f"## {prefix.rstrip('.') or 'The run'}\n"
        yield f"{inspect.cleandoc(section.__doc__ or '').split(listing(section))[0].strip()}\n"
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        meanings = attributes(section)
        for name, annotation, default in fields(section):
            if annotation is not section_in(annotation):
                # A default that is a group has its own table.
                default = "see below" if section_in(annotation) else default
                cells = (f"`{prefix}{name}`", f"`{type_name(annotation)}`", default, meanings.get(name, ""))
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def sections(section: type, prefix: str) -> Iterator[tuple[str, type]]:
    """(dotted prefix, class) of a group of settings and of all groups in it."""
    yield prefix, section
    for name, annotation, _ in fields(section):
        if (inner := section_in(annotation)) is not None:
            yield from sections(inner, f"{prefix}{name}.")


def fields(section: type) -> Iterator[tuple[str, Any, str]]:
    """(name, annotation, default as text) of each setting of a pydantic model or a dataclass."""
    if issubclass(section, BaseModel):
        for name, field in section.model_fields.items():
            yield name, field.annotation, shown(field.default, PydanticUndefined)
    else:
        hints = get_type_hints(section)
        for entry in dataclasses.fields(section):
            yield entry.name, hints[entry.name], shown(entry.default, dataclasses.MISSING)


def shown(default: object, missing: object) -> str:
    return "required" if default is missing else f"`{default!r}`"


def section_in(annotation: Any) -> Any:
    """The group of settings that an annotation is or may be; None for a plain value."""
    if isinstance(annotation, type):
        is_section = issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
        return annotation if is_section else None
    alternatives = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    found = [] if get_origin(annotation) is tuple else list(filter(None, map(section_in, alternatives)))
    return found[0] if found else None


def listing(section: type) -> str:
    """How the docstring of a group begins the list of its settings."""
    return "Attributes:" if issubclass(section, BaseModel) else "Args:"


def attributes(section: type) -> dict[str, str]:
    """Name -> text from the docstring's list; names that share a text are joined by commas there."""
    found: dict[str, str] = {}
    names: list[str] = []
    _, _, listed = inspect.cleandoc(section.__doc__ or "").partition(listing(section))
    for line in listed.splitlines():
        if line.startswith("    ") and not line.startswith("     ") and ": " in line:
            head, _, text = line.strip().partition(": ")
            names = head.split(", ")
            found |= dict.fromkeys(names, text)
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def type_name(annotation: Any) -> str:
    """A type for readers: without validators, alternatives joined by "or"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(map(type_name, arguments))
    if origin is tuple and arguments[1:] == (...,):
        return f"list of {type_name(arguments[0])}"
    if origin is tuple:
        return " x ".join(map(type_name, arguments))
    return "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def recipes() -> Iterator[str]:
    """Every recipe: its source, its variants, and the settings that it does not take from the base."""
    yield RECIPES_INTRODUCTION
    for name, recipe in describe_recipes().items():
        yield f"## {name}\n\n{recipe.summary}. Source: {recipe.source}.\n"
        yield f"{inspect.cleandoc(recipe.build.__doc__ or '')}\n"
        resolved = resolve(name)
        own = {
            key: value for key, value in resolved.values.items() if resolved.origins[key] == RECIPE and key != "name"
        }
        yield "| setting | value |\n|---|---|"
        yield from (f"| `{key}` | `{shown_value(value)}` |" for key, value in own.items())
        yield ""
        if recipe.variants:
            yield (
                "\n".join(f"- `--variant {key}`: {variant.summary}" for key, variant in recipe.variants.items()) + "\n"
            )


def choices() -> Iterator[str]:
    """Every registry: what there is to choose from."""
    yield "# Choices\n"
    yield "Each list is a registry: settings, commands and error messages read the same one.\n"
    for name, registry in sorted(registries().items(), key=lambda item: item[1].kind):
        yield f"## {registry.kind}\n\n`{name}`\n"
        entries = {**registry, **registry.families}
        yield "\n".join(f"- `{entry}`{summary(entries[entry])}" for entry in entries) + "\n"


def summary(entry: object) -> str:
    """What an entry says of itself in a line: its summary or description, or the first line of its docstring."""
    text = getattr(entry, "summary", None) or getattr(entry, "description", None)
    if text is None and (inspect.isfunction(entry) or inspect.isclass(entry)):
        text = (inspect.getdoc(entry) or "").partition("\n")[0]
    return f": {text.rstrip('.')}" if isinstance(text, str) and text else ""


def registries() -> dict[str, Registry[Any]]:
    """Dotted name -> registry, of all modules of the package that make one."""
    found: dict[str, Registry[Any]] = {}
    package = Path(stdl_events.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if "Registry(" in path.read_text(encoding="utf-8"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            for name, value in vars(import_module(module)).items():
                if isinstance(value, Registry):
                    found[f"{module}.{name}"] = value
    return found


def formats() -> Iterator[str]:
    """Every format with its layout, as the docstring of its module writes it."""
    yield FORMATS_INTRODUCTION
    by_module: dict[str, list[str]] = {}
    for name, entry in FORMATS.items():
        by_module.setdefault(inspect.unwrap(entry.open).__module__, []).append(name)
    for module, names in by_module.items():
        title, _, layout = inspect.cleandoc(import_module(module).__doc__ or "").partition("\n")
        yield f"## {', '.join(names)}\n\n{title}\n"
        for name in names:
            written = ", written too" if name in WRITERS else ""
            yield f"- `{name}`: {FORMATS[name].description}; {', '.join(FORMATS[name].suffixes)}{written}"
        yield f"{layout}\n"


def python() -> Iterator[str]:
    """The public names, for mkdocstrings to fill in."""
    yield "# Python\n"
    yield "`import stdl_events` imports no torch: each name is imported when it is first used.\n"
    for name in stdl_events.__all__:
        defined = getattr(stdl_events, name)
        yield f"::: {defined.__module__}.{defined.__qualname__}\n"
