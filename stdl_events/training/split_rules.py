"""The split rule of the settings, applied to recordings: all of a folder, or those of a store."""

from stdl_events.errors import DatasetError, RecipeError
from stdl_events.prepared import PreparedSet
from stdl_events.prepared.stored_split import as_listed
from stdl_events.recordings.entry import RecordingSet, Split
from stdl_events.recordings.registry import SPLIT_RULES, SplitRule
from stdl_events.training.data_settings import DataSettings, FrameSettings, SplitSettings, not_taken
from stdl_events.training.settings import TrainConfig
from stdl_events.training.validation import joined, same_validation, validated

_DEFAULTS = SplitSettings()


def split_by_rule(recordings: RecordingSet, name: str, data: DataSettings, frames: FrameSettings) -> Split:
    """Split by the rule `name`, with its settings in `data.split`.

    Raises:
        SplitError: the recordings cannot be split as asked.
        RecipeError: the rule lacks a setting.
    """
    rule = SPLIT_RULES[name]
    assert rule.split is not None
    options = {key: getattr(data.split, key) for key in rule.options}
    if options.get("gap_us", 0) is None and frames.dt_us is not None:
        options["gap_us"] = frames.dt_us * frames.steps
    missing = [key for key, value in options.items() if value is None]
    if missing:
        raise _lacking(rule, missing)
    return rule.split(recordings, **options)


def require_used(asked: SplitSettings, name: str) -> None:
    """Check that the rule `name`, which is in force, takes every setting that only some rules take.

    Raises:
        RecipeError: it does not take one of them.
    """
    unused = {key: value for key, value in _only_some_take(asked).items() if key not in SPLIT_RULES[name].options}
    for key, value in unused.items():
        raise not_taken(key, value, name)


def _only_some_take(asked: SplitSettings) -> dict[str, object]:
    """The settings of rules that are given in `asked`, but those with a default such as `held_out`."""
    own = {key: getattr(asked, key) for rule in SPLIT_RULES.names for key in SPLIT_RULES[rule].options}
    return {
        key: value for key, value in own.items() if value not in (None, ()) and getattr(_DEFAULTS, key) in (None, ())
    }


def prepared_split(config: TrainConfig) -> Split:
    """The split of the store of `config`; its recordings are split again if that needs no events.

    Raises:
        DatasetError: the store is of another dataset, or must be prepared again for such a split.
        SplitError, RecipeError: see `split_by_rule`.
    """
    data = config.data
    assert data.prepared is not None
    prepared = PreparedSet.open(data.prepared)
    if prepared.manifest.dataset != data.dataset:
        raise DatasetError(
            data.prepared, got=f"a store of {prepared.manifest.dataset}", expected=f"one of {data.dataset}",
            todo=f"use --set data.dataset={prepared.manifest.dataset}, or prepare {data.dataset}",
        )  # fmt: skip
    split, asked = prepared.split(), data.split
    stored, asker = SplitSettings.model_validate(prepared.manifest.split.settings), f"recipe {config.name}"
    if asked == stored or (asked.rule == "auto" and asked.asks_for_validation and same_validation(asked, stored)):
        return split
    rule = SPLIT_RULES[asked.rule]
    if asked.rule == "auto" and not asked.asks_for_validation:
        return validated(split, data, config.frames, asker)
    if asked.rule == "auto" and not split.validation_rule.gap_us:
        split = joined(split) if stored.asks_for_validation else split
        return validated(split, data, config.frames, asker, without_files=True)
    if rule.split is not None and not rule.reads_events and not _is_split_in_time(split, prepared):
        entries = as_listed(split.entries, prepared.path, prepared.root)
        again = split_by_rule(split.train.with_entries(entries), asked.rule, data, config.frames)
        return validated(again, data, config.frames, asker, without_files=True)
    raise DatasetError(
        data.prepared, got=f"a store of recordings split {split.text}",
        expected=f"one prepared with the split rule {asked.rule} and its settings",
        todo="leave the rule out to take the store's own, or say where the recordings are with --data",
    )  # fmt: skip


def _is_split_in_time(split: Split, prepared: PreparedSet) -> bool:
    """True if the parts in a store may be those of a split, and not those that are labelled."""
    rule = SPLIT_RULES[SplitSettings.model_validate(prepared.manifest.split.settings).rule]
    if split.validation_rule.gap_us:
        return True
    if rule.split is not None:
        return rule.reads_events
    return any(not entry.is_whole for entry in split.entries)


def _lacking(rule: SplitRule, missing: list[str]) -> RecipeError:
    return RecipeError(
        " and ".join(f"data.split.{key}" for key in missing), got="nothing", expected=rule.needs,
        todo=f"give --set data.split.{missing[0]}=N, or say it in prepare's --split",
    )  # fmt: skip
