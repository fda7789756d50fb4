"""All clients as threads, what they have seen, and their going home."""

import collections
import random
import sys
import threading
import time
import traceback

import good
import hostile
import operators
import wire

KEPT_WRONGS = 50


class Tally:
    """What the clients have seen; each count has the client's kind and what became of it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts = collections.Counter()
        self._answered = collections.Counter()
        self.wrongs = []

    def count(self, kind, outcome):
        with self._lock:
            self._counts[kind, str(outcome)] += 1

    def predicted(self, model):
        """A prediction that a client has read, of a model that is never unregistered."""
        with self._lock:
            self._answered[model] += 1

    def wrong(self, text):
        with self._lock:
            if len(self.wrongs) < KEPT_WRONGS:
                self.wrongs.append(text)
                print(f"wrong: {text}", file=sys.stderr, flush=True)

    def answered(self):
        with self._lock:
            return dict(self._answered)

    def total(self):
        with self._lock:
            return sum(self._counts.values())

    def as_dict(self):
        kinds = {}
        with self._lock:
            for (kind, outcome), number in sorted(self._counts.items()):
                kinds.setdefault(kind, {})[outcome] = number
        return kinds


class Crowd:
    """Everybody who uses the server."""

    def __init__(self, server, root):
        self.tally = Tally()
        self._open = threading.Event()
        self._ended = threading.Event()
        self._at_home = threading.Semaphore(0)
        visitors = [
            *good.visitors(root),
            *hostile.visitors(),
            *operators.visitors(),
        ]
        self._threads = [
            threading.Thread(target=self._live, args=(server, visitor, number), daemon=True)
            for number, visitor in enumerate(visitors)
        ]

    def start(self):
        self._open.set()
        for thread in self._threads:
            thread.start()

    def go_home(self):
        """Asks everybody to end what they are doing, and waits for it."""
        self._open.clear()
        for _ in self._threads:
            if not self._at_home.acquire(timeout=120):
                self.tally.wrong("a client hangs: it did not end its round within two minutes")
                return

    def come_back(self):
        self._open.set()

    def stop(self):
        self._ended.set()
        self._open.set()
        end = time.monotonic() + 120
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
            if thread.is_alive():
                self.tally.wrong("a client hangs: it did not end within two minutes")

    def _live(self, server, visitor, number):
        # Every client has its own sequence, the same in every run.
        context = Context(server, self.tally, random.Random(number))
        while not self._ended.is_set():
            if not self._open.is_set():
                context.leave()
                self._at_home.release()
                self._open.wait()
                continue
            try:
                visitor(context)
            except wire.Wrong as wrong:
                context.leave()
                if server.alive():
                    self.tally.wrong(f"{visitor.__name__}: {wrong}")
                    time.sleep(0.5)
            except Exception:
                context.leave()
                if server.alive():
                    self.tally.wrong(f"{visitor.__name__}: {traceback.format_exc(limit=3)}")
                    time.sleep(1)
        context.leave()


class Context:
    """What one client has: the server, chance, and connections that are kept."""

    def __init__(self, server, tally, random):
        self.server = server
        self.tally = tally
        self.random = random
        self._kept = {}
        self._keys = None

    def ask(self, role, method, path, headers=(), body=b"", key=None):
        """Asks on a kept connection and with the key as it is; every request gets its answer."""
        key = key or role
        for _ in range(20):
            if self._keys is None:
                self._keys = self.server.keys()
            authorization = {"Authorization": f"Bearer {self._keys[key]}"}
            kept = self._kept.get(role)
            if kept is None or kept.is_old():
                if kept is not None:
                    kept.close()
                kept = self._kept[role] = wire.Connection(self.server.addresses[role])
            answer = kept.request(method, path, {**authorization, **dict(headers)}, body)
            if answer.closes:
                kept.close()
                del self._kept[role]
            if not answer.refuses_the_key():
                return answer
            # It was replaced since it was read.
            self._keys = None
            time.sleep(0.05)
        raise wire.Wrong(f"the key of {role} is refused again and again: {answer}")

    def pause(self, seconds):
        """About as long."""
        time.sleep(seconds * self.random.uniform(0.5, 1.5))

    def leave(self):
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()
        self._keys = None
