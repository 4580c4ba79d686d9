"""`Selection`: filters and geometry, applied to a stream of events before they are counted."""

from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.geometry import Geometry, Size
from stdl_events.events.stream import EventArray
from stdl_events.frames.counting import refuse_outside
from stdl_events.frames.spec import FrameSpec


class Selection:
    """Filters, then a geometry, as a function of the chunks of a stream from a sensor of `sensor_size`.

    Attributes:
        filtered_events: number of events dropped by the filters so far.
        cropped_events: number of events outside the window, or not picked, so far.

    Raises:
        FrameSpecError: the geometry does not fit the sensor.
    """

    def __init__(self, filters: FilterSpec, geometry: Geometry, sensor_size: Size) -> None:
        self.filtered_events = self.cropped_events = 0
        self._filters, self._geometry, self._sensor_size = filters, geometry, sensor_size
        self._move = geometry.start(sensor_size) if geometry else None
        self.restart()

    @classmethod
    def of(cls, spec: FrameSpec) -> "Selection":
        """Return the filters and the geometry of `spec`; `FrameSpec.plain` counts their events."""
        return cls(spec.filters, spec.geometry, spec.sensor_size)

    def anew(self) -> "Selection":
        """Return the same selection, of a stream that has not begun."""
        return Selection(self._filters, self._geometry, self._sensor_size)

    def restart(self) -> None:
        """Start a new stream; the numbers go on."""
        self._keep = self._filters.start(self._sensor_size) if self._filters else None

    def __call__(self, events: EventArray) -> EventArray:
        """Return the events to count.

        Raises:
            FrameSpecError: an event is outside the sensor.
        """
        if self._keep is None and self._move is None:
            return events
        refuse_outside(events, self._sensor_size)
        if self._keep is not None:
            before = len(events)
            events = self._keep(events)
            self.filtered_events += before - len(events)
        if self._move is not None:
            before = len(events)
            events = self._move(events)
            self.cropped_events += before - len(events)
        return events
