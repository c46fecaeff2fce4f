/* SPDX-License-Identifier: MIT */
/*
 * A pidfd of a process that is no child of ours polls readable when it has ended,
 * reaped or not.  How it ended: /proc/PID/stat tells until it is reaped,
 * PIDFD_GET_INFO (Linux 6.15) from then on, and never before.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

struct info {
	uint64_t mask, cgroupid;
	uint32_t ids[11];
	int32_t exit_code;
};
#define GET_INFO _IOWR(0xFF, 11, struct info)
#define INFO_EXIT (1ULL << 3)

static struct {
	pid_t pid;
	int status;
} * shared;

/* The child's child: ends as it is told, and is reaped by its parent one step later. */
static void step(int n)
{
	static int ends[2];
	pid_t pid;

	if (n % 3 == 0) {
		if (pipe(ends) < 0)
			_exit(1);
		pid = fork();
		if (pid == 0) {
			char b;

			close(ends[1]);
			b = (char)read(ends[0], &b, 1);
			if (n == 0)
				_exit(42);
			raise(SIGKILL);
		}
		shared->pid = pid;
		close(ends[0]);
	} else if (n % 3 == 1) {
		close(ends[1]);
	} else {
		waitpid(shared->pid, &shared->status, 0);
	}
}

static bool readable(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN);
}

static int info_status(int pidfd, bool *ret_has)
{
	struct info info = { .mask = INFO_EXIT };

	*ret_has = false;
	if (ioctl(pidfd, GET_INFO, &info) < 0)
		return errno;
	*ret_has = info.mask & INFO_EXIT;
	return info.exit_code;
}

/* The last field of a zombie's stat. */
static int stat_status(pid_t pid)
{
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!lab_read_text(path, text, sizeof(text)) || !strrchr(text, ' '))
		return -1;
	return atoi(strrchr(text, ' '));
}

static void watch(struct lab_child *c, int want)
{
	int pidfd, status;
	bool has;

	lab_child_step(c);
	pidfd = (int)syscall(SYS_pidfd_open, shared->pid, 0);
	if (pidfd < 0)
		lab_skip("no pidfd_open: %s", strerror(errno));
	check(!readable(pidfd, 0), "readable while it lives");
	info_status(pidfd, &has);
	check(!has, "an exit status while it lives");
	lab_child_step(c);
	check(readable(pidfd, 5000), "not readable, though it has ended");
	info_status(pidfd, &has);
	printf("zombie: PIDFD_GET_INFO tells %s, stat tells %#x\n", has ? "a status" : "nothing",
	       stat_status(shared->pid));
	check(stat_status(shared->pid) == want, "stat of a zombie tells %#x",
	      stat_status(shared->pid));
	lab_child_step(c);
	check(shared->status == want, "waitpid told %#x", shared->status);
	check(readable(pidfd, 0), "not readable after it was reaped");
	status = info_status(pidfd, &has);
	if (has)
		check(status == want, "PIDFD_GET_INFO tells %#x, not %#x", status, want);
	printf("reaped: PIDFD_GET_INFO tells %s\n", has ? "the status" : "nothing (before 6.15)");
	close(pidfd);
}

int main(void)
{
	struct lab_child c;

	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	c = lab_child_start(step);
	watch(&c, 42 << 8);
	watch(&c, SIGKILL);
	lab_child_end(&c);
	return lab_result();
}
