#!/usr/bin/env python3
"""Tell whether a live run with `--sink prometheus:HOST:PORT` still works; the container's health check. No packages.

    python check_health.py [http://127.0.0.1:9100/metrics]

The run says its status each second, also in a still scene and while it waits for its source. Exit codes: 0 it did
within the last 15 s; 1 it did not, or nothing answers; the reason is one line.
"""

import re
import sys
import time
import urllib.request

URL = "http://127.0.0.1:9100/metrics"
ANSWERS_WITHIN_S = 3
MAX_AGE_S = 15


def age_s(url):
    """Return the seconds since the run's newest status."""
    with urllib.request.urlopen(url, timeout=ANSWERS_WITHIN_S) as page:
        found = re.search(r"^stdl_events_status_timestamp_seconds (\S+)$", page.read().decode(), re.MULTILINE)
    if found is None:
        raise ValueError("no status in it: not the metrics of a live run")
    return time.time() - float(found[1])


def main():
    url = sys.argv[1] if len(sys.argv) > 1 else URL
    try:
        age = age_s(url)
    except (OSError, ValueError) as error:
        print(f"check_health: {url}: {error}", file=sys.stderr)
        return 1
    if age > MAX_AGE_S:
        print(f"check_health: {url}: the newest status is {age:.0f} s old; at most {MAX_AGE_S} s", file=sys.stderr)
        return 1
    print(f"check_health: the newest status is {age:.1f} s old")
    return 0


if __name__ == "__main__":
    sys.exit(main())
