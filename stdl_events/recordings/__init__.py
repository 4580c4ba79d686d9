"""Labelled recordings: entries, train/test splits, their clips, and the known datasets.

The names below are imported on first use.
"""

from typing import TYPE_CHECKING

from stdl_events.lazy import lazy_names

if TYPE_CHECKING:
    from stdl_events.recordings.clips import ClipArray as ClipArray
    from stdl_events.recordings.clips import clips_of as clips_of
    from stdl_events.recordings.clips import load_clips as load_clips
    from stdl_events.recordings.datasets.cifar10_dvs import read_cifar10_dvs as read_cifar10_dvs
    from stdl_events.recordings.datasets.cifar10_dvs import split_cifar10_dvs as split_cifar10_dvs
    from stdl_events.recordings.datasets.dvs_gesture import split_dvs_gesture as split_dvs_gesture
    from stdl_events.recordings.datasets.folder import read_folder as read_folder
    from stdl_events.recordings.datasets.folder import read_given_split as read_given_split
    from stdl_events.recordings.datasets.gait_day import split_gait_day as split_gait_day
    from stdl_events.recordings.datasets.har_dvs import split_har_dvs as split_har_dvs
    from stdl_events.recordings.datasets.nmnist import read_nmnist as read_nmnist
    from stdl_events.recordings.datasets.nmnist import split_nmnist as split_nmnist
    from stdl_events.recordings.datasets.sample_recordings import sample_dataset as sample_dataset
    from stdl_events.recordings.entry import Entry as Entry
    from stdl_events.recordings.entry import RecordingSet as RecordingSet
    from stdl_events.recordings.entry import Split as Split
    from stdl_events.recordings.entry import read_events as read_events
    from stdl_events.recordings.event_dataset import Cifar10Dvs as Cifar10Dvs
    from stdl_events.recordings.event_dataset import DvsGesture as DvsGesture
    from stdl_events.recordings.event_dataset import EventDataset as EventDataset
    from stdl_events.recordings.event_dataset import GaitDay as GaitDay
    from stdl_events.recordings.event_dataset import HarDvs as HarDvs
    from stdl_events.recordings.event_dataset import NMnist as NMnist
    from stdl_events.recordings.registry import DATASETS as DATASETS
    from stdl_events.recordings.registry import Dataset as Dataset
    from stdl_events.recordings.simulated.synthetic import generate_walkers as generate_walkers
    from stdl_events.recordings.simulated.synthetic import read_walkers as read_walkers
    from stdl_events.recordings.splits.split import by_group as by_group
    from stdl_events.recordings.splits.split import by_order as by_order
    from stdl_events.recordings.splits.split import by_recording as by_recording
    from stdl_events.recordings.splits.split import by_time as by_time
    from stdl_events.recordings.splits.split_people import by_session as by_session
    from stdl_events.recordings.splits.split_people import by_subject as by_subject
    from stdl_events.recordings.splits.split_people import leave_one_subject_out as leave_one_subject_out
    from stdl_events.recordings.takes import each_take as each_take

__all__ = [
    "DATASETS",
    "Cifar10Dvs",
    "ClipArray",
    "Dataset",
    "DvsGesture",
    "Entry",
    "EventDataset",
    "GaitDay",
    "HarDvs",
    "NMnist",
    "RecordingSet",
    "Split",
    "by_group",
    "by_order",
    "by_recording",
    "by_session",
    "by_subject",
    "by_time",
    "clips_of",
    "each_take",
    "generate_walkers",
    "leave_one_subject_out",
    "load_clips",
    "read_cifar10_dvs",
    "read_events",
    "read_folder",
    "read_given_split",
    "read_nmnist",
    "read_walkers",
    "sample_dataset",
    "split_cifar10_dvs",
    "split_dvs_gesture",
    "split_gait_day",
    "split_har_dvs",
    "split_nmnist",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Cifar10Dvs": "stdl_events.recordings.event_dataset",
        "ClipArray": "stdl_events.recordings.clips",
        "DATASETS": "stdl_events.recordings.registry",
        "Dataset": "stdl_events.recordings.registry",
        "DvsGesture": "stdl_events.recordings.event_dataset",
        "Entry": "stdl_events.recordings.entry",
        "EventDataset": "stdl_events.recordings.event_dataset",
        "GaitDay": "stdl_events.recordings.event_dataset",
        "HarDvs": "stdl_events.recordings.event_dataset",
        "NMnist": "stdl_events.recordings.event_dataset",
        "RecordingSet": "stdl_events.recordings.entry",
        "Split": "stdl_events.recordings.entry",
        "by_group": "stdl_events.recordings.splits.split",
        "by_order": "stdl_events.recordings.splits.split",
        "by_recording": "stdl_events.recordings.splits.split",
        "by_session": "stdl_events.recordings.splits.split_people",
        "by_subject": "stdl_events.recordings.splits.split_people",
        "by_time": "stdl_events.recordings.splits.split",
        "clips_of": "stdl_events.recordings.clips",
        "each_take": "stdl_events.recordings.takes",
        "generate_walkers": "stdl_events.recordings.simulated.synthetic",
        "leave_one_subject_out": "stdl_events.recordings.splits.split_people",
        "load_clips": "stdl_events.recordings.clips",
        "read_cifar10_dvs": "stdl_events.recordings.datasets.cifar10_dvs",
        "read_events": "stdl_events.recordings.entry",
        "read_folder": "stdl_events.recordings.datasets.folder",
        "read_given_split": "stdl_events.recordings.datasets.folder",
        "read_nmnist": "stdl_events.recordings.datasets.nmnist",
        "read_walkers": "stdl_events.recordings.simulated.synthetic",
        "sample_dataset": "stdl_events.recordings.datasets.sample_recordings",
        "split_cifar10_dvs": "stdl_events.recordings.datasets.cifar10_dvs",
        "split_dvs_gesture": "stdl_events.recordings.datasets.dvs_gesture",
        "split_gait_day": "stdl_events.recordings.datasets.gait_day",
        "split_har_dvs": "stdl_events.recordings.datasets.har_dvs",
        "split_nmnist": "stdl_events.recordings.datasets.nmnist",
    },
)
