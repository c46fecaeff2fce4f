/* SPDX-License-Identifier: MIT */
/*
 * A page map opened once stays readable, PFNs included, when the process sets
 * itself undumpable and gives up its user; it reads nothing after an exec (the
 * new image needs a new one, which shows that image's memory) and nothing after
 * the exit.  A zombie has none: -ESRCH.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

static char *page;

static void step(int n)
{
	if (n == 0)
		*page = 2;
	if (n == 1 && prctl(PR_SET_DUMPABLE, 0) < 0)
		_exit(1);
	if (n == 2 && (setgid(65534) < 0 || setuid(65534) < 0))
		_exit(1);
	if (n == 3)
		*page = 3;
}

static void changes_user(void)
{
	static const char *const when[] = { "at first", "undumpable", "as another user",
					    "and after a write" };
	struct lab_child c = lab_child_start(step);
	uint64_t pfn = 0, now;
	int again;

	for (size_t i = 0; i < 4; i++) {
		lab_child_step(&c);
		now = lab_pfn(c.pagemap, page);
		check(now && (!pfn || now == pfn), "%s: PFN %#lx, was %#lx", when[i],
		      (unsigned long)now, (unsigned long)pfn);
		pfn = now;
	}
	again = lab_pagemap(c.pid);
	check(lab_pfn(again, page) == pfn, "opened late, by root: another PFN");
	close(again);
	lab_child_end(&c);
}

static ssize_t read_one(int fd)
{
	uint64_t e;

	return pread(fd, &e, sizeof(e), (off_t)((uintptr_t)page / PAGE * sizeof(e)));
}

static void execs(void)
{
	int go[2], gone[2], fd;
	char path[64], b;
	pid_t pid;

	if (pipe(go) < 0 || pipe2(gone, O_CLOEXEC) < 0)
		lab_die("pipe");
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &b, 1) != 1)
			_exit(1);
		dup2(go[0], 0);
		/* Ends when its standard input does. */
		execlp("cat", "cat", NULL);
		_exit(127);
	}
	close(gone[1]);
	fd = lab_pagemap(pid);
	check(read_one(fd) == 8, "the page map cannot be read before the exec");
	if (write(go[1], "x", 1) != 1 || read(gone[0], &b, 1) != 0)
		lab_die("exec");
	check(read_one(fd) == 0, "the old page map reads %zd after the exec", read_one(fd));
	close(fd);
	fd = lab_pagemap(pid);
	check(read_one(fd) == 8, "a new page map cannot be read after the exec");
	close(go[1]);
	close(go[0]);
	/* A zombie until it is waited for. */
	siginfo_t si;
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	check(read_one(fd) == 0, "the page map of a zombie reads %zd", read_one(fd));
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	check(open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == ESRCH,
	      "a zombie's page map opens, or fails with %s", strerror(errno));
	waitpid(pid, NULL, 0);
	check(read_one(fd) == 0, "the page map of a reaped process reads %zd", read_one(fd));
	close(fd);
	close(gone[0]);
}

int main(void)
{
	lab_need_pfns();
	page = lab_map(1);
	*page = 1;
	changes_user();
	execs();
	return lab_result();
}
