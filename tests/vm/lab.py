# SPDX-License-Identifier: MIT
"""
The lab: plays scenarios on real kernels (the host, or small virtual machines
that hold nothing but tests/kernel/play) and by the models, and compares.
Nothing here judges: the models are `cowtrace policy play`, the truth is play's.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIOS = os.path.join(HERE, "scenarios")
CACHE = os.environ.get("COWTRACE_LAB_DIR") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or "/var/cache", "cowtrace-lab")
COUNTS = ("reuse", "copy", "zeroed", "fresh", "copied_huge")


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_well():
    """A time-out of the test runner ends through `finally` and `with` like an error."""
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(sig, lambda number, frame: sys.exit(128 + number))


def end_with_us():
    """In a child: a player or a machine does not outlive who asked for it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Unavailable(Exception):
    """A kernel, or what boots it, is not to be had here; the text says why."""


class Tools:
    """The two players and the probe, from a build folder."""

    def __init__(self, cowtrace, play, probe=None):
        self.cowtrace, self.play, self.probe = cowtrace, play, probe


def scenario_files(folder=SCENARIOS):
    return sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".play"))


def comment_of(path):
    with open(path) as f:
        first = f.readline()
    return first[1:].strip() if first.startswith("#") else ""


def by_model(tools, path, model):
    out = subprocess.run([tools.cowtrace, "policy", "play", path, "--model", model,
                          "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if out.returncode:
        return {"error": out.stderr.decode().strip()}
    return json.loads(out.stdout)


def read_lines(text):
    """{"file": result} of the player's lines; the rest is the machine's noise."""
    results, release, probed = {}, None, None
    for line in text.splitlines():
        at = line.find("@@{")
        body = line[at + 2:] if at >= 0 else line
        if not body.startswith("{"):
            continue
        try:
            obj = json.loads(body)
        except ValueError:
            continue
        if "kernel" in obj:
            release = obj["kernel"]
        elif "probe" in obj:
            probed = obj["probe"]
        elif "scenario" in obj:
            results[obj["scenario"]] = obj
    return results, release, probed


def on_host(tools, files):
    out = subprocess.run([tools.play] + files, stdout=subprocess.PIPE, preexec_fn=end_with_us)
    if out.returncode == 77:
        raise Unavailable("page frames are shown to root only")
    return read_lines(out.stdout.decode())[0]


def cpio(out, entries):
    """A newc archive: (name, mode, bytes); no tool of the host is needed."""
    with open(out, "wb") as f:
        for ino, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
            head = "070701" + "".join("%08x" % v for v in (
                ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
            body = head.encode() + name.encode() + b"\0"
            f.write(body + b"\0" * (-len(body) % 4))
            f.write(data + b"\0" * (-len(data) % 4))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def qemu():
    own = os.path.join(CACHE, "qemu", "usr", "bin", "qemu-system-x86_64")
    if os.path.exists(own):
        base = os.path.join(CACHE, "qemu", "usr")
        libs = ":".join(os.path.join(root, "lib", "x86_64-linux-gnu")
                        for root in (base, os.path.dirname(base)))
        return ([own, "-L", os.path.join(base, "share", "seabios"),
                 "-L", os.path.join(base, "share", "qemu"),
                 "-cpu", "max", "-smp", "2", "-accel", "tcg,thread=multi,tb-size=256"],
                {"LD_LIBRARY_PATH": libs})
    if shutil.which("qemu-system-x86_64"):
        # 7.2 loses boots with several virtual CPUs; one of an old model is safe.
        return (["qemu-system-x86_64", "-cpu", "Nehalem", "-smp", "1",
                 "-accel", "tcg,thread=single"], {})
    raise Unavailable("no qemu: run tests/vm/fetch")


def kernel_dir(name):
    path = os.path.join(CACHE, "k", name)
    if not os.path.exists(os.path.join(path, "version")):
        raise Unavailable("kernel %s is not in %s: run tests/vm/fetch" % (name, CACHE))
    return path


def boot(tools, vmlinux, modules, files, timeout):
    """Everything `files` says, played by one virtual machine."""
    cmd, env = qemu()
    entries = [("init", 0o100755, read(tools.play)), ("s", 0o040755, b""),
               ("modules", 0o040755, b""), ("x", 0o040755, b"")]
    entries += [("modules/" + m, 0o100644, read(os.path.join(modules, m)))
                for m in sorted(os.listdir(modules))] if modules else []
    entries += [("x/probe", 0o100755, read(tools.probe))] if tools.probe else []
    entries += [("s/" + os.path.basename(f), 0o100644, read(f)) for f in files]
    entries.append(("s/list", 0o100644,
                    "".join(os.path.basename(f) + "\n" for f in files).encode()))
    with tempfile.TemporaryDirectory(prefix="cowtrace-vm.") as tmp:
        initrd = os.path.join(tmp, "init.cpio")
        cpio(initrd, entries)
        cmd = ["nice", "-n", "10"] + cmd + [
            "-machine", "q35", "-m", "1536", "-nographic", "-nodefaults", "-no-reboot",
            "-serial", "stdio", "-monitor", "none", "-kernel", vmlinux, "-initrd", initrd,
            "-append", "console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off "
            "random.trust_cpu=on"]
        try:
            out = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, timeout=timeout,
                                 env=dict(os.environ, **env), preexec_fn=end_with_us)
            text, err = out.stdout, out.stderr
        except subprocess.TimeoutExpired as e:
            text, err = e.stdout or b"", b"timeout"
    return text.decode(errors="replace"), err.decode(errors="replace")


def on_kernel(tools, name, files, timeout=600):
    """Boots, and boots again for what a machine that died had not played yet."""
    path = kernel_dir(name)
    vmlinux = os.path.join(path, "vmlinux")
    if not os.path.exists(vmlinux):
        vmlinux = os.path.join(path, "vmlinuz")
    return boot_all(tools, vmlinux, os.path.join(path, "modules"), files, timeout)


def boot_all(tools, vmlinux, modules, files, timeout=600):
    results, release, probed, left = {}, None, None, list(files)
    for _ in range(4):
        text, err = boot(tools, vmlinux, modules, left, timeout)
        got, rel, prb = read_lines(text)
        release, probed = rel or release, prb or probed
        results.update(got)
        left = [f for f in left if os.path.basename(f) not in results]
        if not left:
            break
    if not release:
        sys.exit("%s did not boot: %s %s" % (vmlinux, err[-200:], text[-300:]))
    for f in left:
        results[os.path.basename(f)] = {"steps": [], "skipped": "the machine died over it"}
    return results, release, probed


def differences(model, kernel):
    """(mismatches, racy steps) of one scenario; a step that the model cannot be
    certain of may come out either way, and is counted apart."""
    bad, racy = [], []
    if "error" in model:
        return ["the model refuses it: " + model["error"]], racy
    if len(model["steps"]) != len(kernel["steps"]):
        return ["%d steps, the kernel made %d" % (len(model["steps"]), len(kernel["steps"]))], racy
    for m, k in zip(model["steps"], kernel["steps"]):
        if m.get("uncertain"):
            racy.append((m, k))
            # The same pages, whatever became of them; a read tells of new ones only.
            if not m["event"].startswith("read ") and \
                    sum(m[c] - k[c] for c in COUNTS[:4] if c in k):
                bad.append("line %d, %s: %s" % (m["line"], m["event"], pair(m, k)))
            continue
        keys = [c for c in COUNTS if c in k] + ["huge"]
        if any(m[c] != k[c] for c in keys):
            bad.append("line %d, %s: %s" % (m["line"], m["event"], pair(m, k, keys)))
    return bad, racy


def pair(m, k, keys=("reuse", "copy")):
    return "model %s, kernel %s" % (short(m, keys), short(k, keys))


def short(step, keys):
    return " ".join("%s %d" % (c, step[c]) for c in keys if step.get(c)) or "nothing"


def outcome(step):
    """R512, C1, Z1: what a written page met."""
    parts = [n + str(step[c]) for n, c in (("R", "reuse"), ("C", "copy"), ("Z", "zeroed"))
             if step.get(c)]
    return "/".join(parts) or "-"


def judged_steps(result):
    return [s for s in result["steps"]
            if s["event"].split()[0] in ("write", "syswrite", "poke") and
            (s.get("reuse") or s.get("copy") or s.get("zeroed"))]


def summary(result):
    if "error" in result:
        return "error"
    return " ".join(outcome(s) for s in judged_steps(result)) or "-"


def table():
    """[(name, model)] of kernels.table."""
    rows = []
    with open(os.path.join(HERE, "kernels.table")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, _, _, model = line.split()
                rows.append((name, model))
    return rows


def version_of(name):
    return read(os.path.join(kernel_dir(name), "version")).decode().strip()


def probed_model(tools):
    out = subprocess.run([tools.cowtrace, "policy", "probe", "--format", "json"],
                         stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)["model"]


