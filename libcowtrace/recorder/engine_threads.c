/* SPDX-License-Identifier: MIT */
/*
 * Threads that fault: where they stand, read from the kernel.
 *
 * /proc/TGID/task/TID/syscall tells the program counter and the stack pointer of
 * any thread that sleeps, and a thread in a fault does.  The file is kept open:
 * opening it costs ten times the reading.
 *
 * Invariant: a thread that is not of this process (a vfork child faults on its
 * parent's userfaultfd) has no file here, and is never sent a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recorder/engine_int.h"

static int open_syscall(s32 pid, s32 tid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static struct ct_engine_thread *place_for(struct ct_engine_ctx *x)
{
	struct ct_engine_thread *t = &x->threads[0];
	u32 i;

	if (x->nr_threads < CT_ENGINE_THREADS)
		return &x->threads[x->nr_threads++];
	for (i = 1; i < CT_ENGINE_THREADS; i++)
		if (x->threads[i].used < t->used)
			t = &x->threads[i];
	if (t->syscall_fd >= 0)
		close(t->syscall_fd);
	return t;
}

struct ct_engine_thread *ct_engine_thread_get(struct ct_engine_ctx *x, s32 tid)
{
	struct ct_engine_thread *t;
	u32 i;
	int fd;

	for (i = 0; i < x->nr_threads; i++) {
		t = &x->threads[i];
		if (t->tid == tid) {
			t->used = ++x->uses;
			return t;
		}
	}
	fd = x->pid ? open_syscall(x->pid, tid) : -ESRCH;
	/* Gone while it slept, or somebody else's thread: both are remembered as that. */
	if (fd < 0 && fd != -ENOENT && fd != -ESRCH)
		return NULL;
	t = place_for(x);
	*t = (struct ct_engine_thread){ .tid = tid, .syscall_fd = fd, .used = ++x->uses };
	return t;
}

bool ct_engine_thread_again(struct ct_engine_ctx *x, struct ct_engine_thread *t)
{
	int fd = x->pid ? open_syscall(x->pid, t->tid) : -ESRCH;

	if (fd < 0)
		return false;
	if (t->syscall_fd >= 0)
		close(t->syscall_fd);
	t->syscall_fd = fd;
	t->ticket = 0;
	return true;
}

void ct_engine_threads_close(struct ct_engine_ctx *x)
{
	u32 i;

	for (i = 0; i < x->nr_threads; i++)
		if (x->threads[i].syscall_fd >= 0)
			close(x->threads[i].syscall_fd);
	x->nr_threads = 0;
}

static u64 parse_hex(const char **at)
{
	u64 v = 0;

	if ((*at)[0] == '0' && (*at)[1] == 'x')
		*at += 2;
	for (;; (*at)++) {
		char c = **at;

		if (c >= '0' && c <= '9')
			v = v << 4 | (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (u64)(c - 'a' + 10);
		else
			return v;
	}
}

/*
 * "-1 SP PC" in user mode, "NR ARG... SP PC" (six arguments) in a system call,
 * "running" for a thread that does not sleep (fs/proc/base.c, proc_pid_syscall).
 */
static int parse(const char *at, struct ct_where *ret)
{
	s32 nr = 0;
	int skip = 0;

	if (at[0] == '-' && at[1] == '1') {
		ret->kernel = false;
		ret->syscall = -1;
		at += 2;
	} else {
		if (*at < '0' || *at > '9')
			return -EAGAIN;
		while (*at >= '0' && *at <= '9')
			nr = nr * 10 + (*at++ - '0');
		ret->kernel = true;
		ret->syscall = nr;
		skip = 6;
	}
	for (; skip; skip--) {
		if (*at != ' ')
			return -EAGAIN;
		at++;
		parse_hex(&at);
	}
	if (*at++ != ' ')
		return -EAGAIN;
	ret->sp = parse_hex(&at);
	if (*at++ != ' ')
		return -EAGAIN;
	ret->pc = parse_hex(&at);
	return 0;
}

int ct_engine_where(const struct ct_engine_thread *t, struct ct_where *ret)
{
	char text[256];
	ssize_t n;

	if (t->syscall_fd < 0)
		return -ESRCH;
	n = pread(t->syscall_fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ESRCH;
	text[n] = '\0';
	return parse(text, ret);
}
