"""A live run as a page in a browser. `Monitor` is the sink; the page's server has a thread of its own.

    run_live's threads -> Feed (newest wins) -> Hub, in the server's thread -> a task for each viewer

No call of a sink does more than keep a reference, so that no viewer slows recognition.
"""

from stdl_events.live.monitor.sink import Monitor

__all__ = ["Monitor"]
