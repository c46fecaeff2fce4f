# SPDX-License-Identifier: MIT
"""The figures: each function takes a Bench and returns a list of Figures."""
import statistics
import subprocess
import time

from harness import CannotRun, Figure, cpu_seconds, mem_available_mib, recorders, status_kib
from redis import KEYS, REQUESTS, Redis

ENGINE = ["--engine", "uffd"]
FORKS = 5


def need_memory(mib):
    have = mem_available_mib()
    if have < mib:
        raise CannotRun("needs %d MiB of free memory, there are %d" % (mib, have))


def first_write(bench, pages, pause_us, bare, limit, what):
    """The whole path of one first write against the least that any handler costs."""
    argv = [bench.program("writes", "uffd"), str(pages), str(pause_us)]
    plain, means = [], []

    def once(traced):
        if traced:
            times = bench.run(argv, True, ENGINE)
            seen = bench.query("SELECT COUNT(*) FROM writes")[0][0]
            if seen < pages:
                raise CannotRun("%d writes, %d seen" % (pages, seen))
            means.append(statistics.mean(times) / 1e3)
            plain.append(statistics.median(bench.run(argv, False)) / 1e3)
        else:
            times = bench.run([*argv, bare], False)
        return statistics.median(times) / 1e3
    handler, traced = bench.alternate(once)
    return [Figure("first write, %s, against a bare handler" % what, "us", handler, traced, limit),
            Figure("the same, mean", "us", value=means),
            Figure("the same write untraced", "us", value=plain)]


def spinning(bench):
    return first_write(bench, 20000, 0, "spin", 1.5, "spinning")


def sleeping(bench):
    """The pauses are longer than the recorder goes on looking."""
    return first_write(bench, 2000, 400, "poll", 1.2, "sleeping")


def forks(bench, mib):
    """One per cent of it is written after each fork."""
    need_memory(mib + 2048)
    written = mib * 256 // 100
    argv = [bench.program("forks"), str(mib), "0", str(FORKS), str(written), "300"]
    first, later = {False: [], True: []}, {False: [], True: []}

    def once(traced):
        times = bench.run(argv, traced, ENGINE)
        first[traced].append(times[0] / 1e6)
        later[traced].append(statistics.median(times[1:]) / 1e6)
    bench.alternate(once)
    return [Figure("fork(), %d MiB, first" % mib, "ms", first[False], first[True], 3),
            Figure("fork(), %d MiB, later" % mib, "ms", later[False], later[True], 1.3)]


def fork_1gib(bench):
    return forks(bench, 1024)


def fork_4gib(bench):
    return forks(bench, 4096)


def redis_requests(bench, keys, what):
    """Requests while a BGSAVE is under way."""
    cpu, rate, fork = ({False: [], True: []} for _ in range(3))
    with Redis(bench) as server:
        def once(traced):
            with server.running(traced, ENGINE):
                r = server.load_under_bgsave(keys)
            cpu[traced].append(r.cpu_us)
            rate[traced].append(r.rate)
            fork[traced].append(r.fork_ms)
        bench.alternate(once)
    first_writes = bench.query("SELECT COUNT(*) FROM writes")[0][0] / REQUESTS
    return [Figure("redis, %s, CPU per request in a BGSAVE" % what, "us", cpu[False], cpu[True],
                   1.15),
            Figure("redis, %s, requests in a BGSAVE" % what, "1/s", rate[False], rate[True], 0.9,
                   at_least=True),
            Figure("redis, %s, first writes per request, at most" % what, "", value=first_writes),
            Figure("redis, %s, latest_fork_usec" % what, "ms", fork[False], fork[True])]


def redis(bench):
    """The more keys are written to, the more requests are the first to write to a page."""
    return redis_requests(bench, KEYS, "all keys") + \
        redis_requests(bench, KEYS // 100, "one key in a hundred")


def memory(bench, mib=16384, writes=500000, forks_nr=2):
    """The greatest resident size of cowtrace's processes: 16 GiB, a million first writes."""
    need_memory(mib + writes // 256 + 1024)
    bench.forget_trace()
    p = subprocess.Popen(bench.record_argv([bench.program("forks"), str(mib), "0", str(forks_nr),
                                            str(writes), "300"], ENGINE),
                         stdout=subprocess.DEVNULL)
    private = peak = 0
    while p.poll() is None:
        # Those that are there at the same time; some measure the machine, and go.
        pids = recorders(p.pid)
        # Shared memory is counted once for each process that maps it.
        private = max(private, sum(status_kib(pid, "RssAnon") + status_kib(pid, "RssFile")
                                   for pid in pids))
        peak = max(peak, sum(status_kib(pid, "VmHWM") for pid in pids))
        time.sleep(0.01)
    if p.returncode:
        raise CannotRun("cowtrace record: exit status %d" % p.returncode)
    seen = bench.query("SELECT COUNT(*) FROM writes")[0][0]
    lost = writes * forks_nr - seen
    return [Figure("recorder's memory, 16 GiB, a million writes", "MiB",
                   value=peak / 1024, limit=64),
            Figure("of it without the shared segment", "MiB", value=private / 1024),
            Figure("writes of the million that the trace has not", "", value=max(0, lost), limit=0),
            Figure("trace file for a million writes", "MiB", value=bench.file_size() / 2**20)]


def idle(bench, seconds=5):
    """Protected memory, a child alive, and nobody writes; then the same after the linger."""
    figures = []
    for name, argv in (("a child alive", ["writes", "100", "100000"]),
                       ("protection lifted", ["forks", "64", "0", "1", "1000", "9000"])):
        program = bench.program(argv[0], "uffd" if argv[0] == "writes" else "ground")
        bench.forget_trace()
        p = subprocess.Popen(bench.record_argv([program, *argv[1:]], ENGINE),
                             stdout=subprocess.DEVNULL)
        time.sleep(3)
        before = {pid: cpu_seconds(pid) for pid in recorders(p.pid)}
        time.sleep(seconds)
        used = sum(cpu_seconds(pid) - before.get(pid, 0) for pid in recorders(p.pid))
        p.wait()
        if name == "a child alive":
            # It writes ten pages a second, so that it is not simply asleep.
            name = "ten first writes a second"
        figures.append(Figure("recorder's processor time, %s" % name, "%",
                              value=100 * used / seconds, limit=1))
    return figures


ALL = [
    ("spinning", spinning),
    ("sleeping", sleeping),
    ("fork-1gib", fork_1gib),
    ("fork-4gib", fork_4gib),
    ("redis", redis),
    ("memory", memory),
    ("idle", idle),
]
