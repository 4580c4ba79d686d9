"""Many damaged packets of each protocol of live sources, through everything between the socket and the model:

    python tests/benchmarks/run_fuzz_packets.py [PROTOCOL ...] [--count 100000] [--seed 1] [--out FOLDER]

The suite runs a few hundred. A crash, an event that is in no count, or memory that grows by more than 64 MiB ends it
with another exit code than 0; the seed finds the packet again.
"""

import resource
import sys
import time

from bench_report import REPOSITORY, environment, fuzz_arguments, write_result

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
sys.path.insert(0, str(REPOSITORY / "tests" / "fuzz"))

from fuzz_packets import PROTOCOLS, run

MOST_MIB = 64


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    arguments = fuzz_arguments(
        "Many damaged packets of each protocol of live sources.", count=100_000, of="per protocol", names=PROTOCOLS
    )
    rows = []
    for protocol in arguments.names or PROTOCOLS:
        run(protocol, 1_000, arguments.seed)
        before_mib, began_s = peak_mib(), time.process_time()
        outcomes = run(protocol, arguments.count, arguments.seed)
        grown = {"cpu_s": round(time.process_time() - began_s, 1), "grown_mib": round(peak_mib() - before_mib, 1)}
        rows.append({"protocol": protocol, **outcomes, **grown})
        print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
    if arguments.out:
        document = {
            "environment": environment(["stdl-events", "numpy"]),
            "configuration": {"count": arguments.count, "seed": arguments.seed, "most_mib": MOST_MIB},
            "rows": rows,
        }
        print(write_result(arguments.out, "fuzz_packets", document))
    return int(any(row["grown_mib"] > MOST_MIB for row in rows))


if __name__ == "__main__":
    sys.exit(main())
