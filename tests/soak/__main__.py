"""Serves for a long time and judges what it leaves: memory, threads, descriptors, lost requests.

    make soak                              30 minutes with the release binary
    make soak ARGS="--minutes 2"           any length, at least 1
    python3 tests/soak --check             tests the judgement itself, without a server

Starts the server on loopback ports of its own and sends it, all at once, clients that behave and check
each answer (`good.py`), clients that err, dawdle and die (`hostile.py`), and operators that register,
unregister, scale, rotate keys, change the CORS policy and scrape (`operators.py`). Every second it
writes down memory, threads, descriptors and the latency that one more client sees (`sampling.py`).

From time to time everybody goes home and the server is looked at while it rests: then every accepted
request must have its outcome in `/metrics`, and threads and descriptors must be what they were. Memory
is judged over the whole time behind the warm-up (`judging.py`). The report is `report.txt`,
`report.json` and `report.svg`; the exit status is 1 when something grew or was lost.
"""

import argparse
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import crowd  # noqa: E402
import judging  # noqa: E402
import metrics  # noqa: E402
import report  # noqa: E402
import sampling  # noqa: E402
import serving  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# At rest: longer than idle helper threads of the server live.
REST_SECONDS = 14
LONGEST_PHASE = 150


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release/torchfront")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/soak")
    parser.add_argument("--check", action="store_true", help="tests the judgement, without a server")
    options = parser.parse_args()
    if options.check:
        judging.check()
        metrics.check()
        return 0
    if options.minutes < 1:
        parser.error("--minutes must be at least 1: memory has to settle before it is judged")
    with tempfile.TemporaryDirectory(prefix="torchfront-soak-") as folder:
        result = soak(options.bin.resolve(), pathlib.Path(folder), options.minutes * 60)
    options.out.mkdir(parents=True, exist_ok=True)
    print(report.write(options.out, result))
    return 0 if result["passed"] else 1


def soak(binary, folder, seconds):
    """The run, as what the report shows."""
    phase = min(LONGEST_PHASE, max(20, seconds / 5))
    with serving.Server(binary, ROOT, folder) as server:
        samples = sampling.Sampler(server)
        people = crowd.Crowd(server, ROOT)
        began = time.monotonic()
        rests = []
        samples.start(began)
        people.start()
        try:
            while time.monotonic() - began < seconds:
                time.sleep(min(phase, max(1, began + seconds - time.monotonic())))
                people.go_home()
                samples.resting = True
                time.sleep(REST_SECONDS)
                rests.append(look(server, samples, began, people))
                print(describe(rests[-1], people), flush=True)
                samples.resting = False
                people.come_back()
                if not server.alive():
                    break
        finally:
            people.stop()
            samples.stop()
        ended = server.stop()
    return judging.judge(samples.rows, rests, people, ended, seconds)


def look(server, samples, began, people):
    """What a server at rest has."""
    row = samples.measure()
    row["at"] = round(time.monotonic() - began, 1)
    text = server.metrics_text()
    row["unaccounted"] = metrics.unaccounted(text)
    row["forgotten"] = metrics.below(text, people.tally.answered())
    return row


def describe(rest, people):
    minutes, seconds = divmod(int(rest["at"]), 60)
    return (
        f"{minutes:3}:{seconds:02} at rest: {rest['rss_mib']:.1f} MiB RSS, {rest['pss_mib']:.1f} MiB "
        f"PSS, {rest['threads']} threads, {rest['fds']} descriptors; {people.tally.total()} requests, "
        f"{len(people.tally.wrongs)} wrong"
    )


if __name__ == "__main__":
    sys.exit(main())
