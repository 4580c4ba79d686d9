"""`NeuronSetting`: the type of the setting `network.neuron`."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler, GetPydanticSchema, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from stdl_events.errors import RecipeError
from stdl_events.network.paper_neurons import PAPER
from stdl_events.network.spec import NeuronSpec

_KEYS = {field.name: None for field in dataclasses.fields(NeuronSpec)}


def _validated(value: Any, spec: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, str) and value != PAPER:
        raise RecipeError(
            "",
            got=repr(value),
            expected=f"""{PAPER!r}, or settings such as {{"kind": "plif"}}""",
            todo="correct it, or set network.neuron.kind",
        )
    if isinstance(value, Mapping) and (unknown := sorted(map(str, value.keys() - _KEYS))):
        # A dataclass would leave them out without a word.
        raise RecipeError(
            "", got=f"an unknown key {unknown[0]!r}", expected=f"some of {', '.join(_KEYS)}",
            todo="remove it or correct its spelling",
        )  # fmt: skip
    return value if value == PAPER else spec(value)


def _plain(value: NeuronSpec | str) -> Any:
    return value if isinstance(value, str) else dataclasses.asdict(value)


def _schema(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    # Not a union: pydantic would report its problems with the members' names among the keys.
    del source
    return core_schema.no_info_wrap_validator_function(
        _validated,
        handler(NeuronSpec),
        serialization=core_schema.plain_serializer_function_ser_schema(_plain),
    )


NeuronSetting = Annotated[NeuronSpec | Literal["paper"], GetPydanticSchema(_schema)]
"""The neuron's settings, or "paper" for the neuron that the learning rule was published with."""
