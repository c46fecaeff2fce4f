/* SPDX-License-Identifier: MIT */
/*
 * Faults that a system call takes in the program's memory.  An event that excludes the
 * kernel says nothing of them.  One that does not (privileged) raises one signal as
 * the call returns, of the first page, however many there were; the call's result is
 * what it would have been, and a call that waits is not interrupted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

static char *page;

static void without_kernel(int zero)
{
	int fd = trap_open((struct trap_opts){ 0 });

	trap_reset();
	check(read(zero, page, 4 * PAGE) == (ssize_t)(4 * PAGE), "read is short");
	check(!traps->nr && !traps->nr_async, "%u signals of a system call", traps->nr);
	close(fd);
}

static void with_kernel(int zero)
{
	int fd = trap_event((struct trap_opts){ .kernel_too = true }), pipes[2];
	pid_t pid;

	if (fd < 0) {
		printf("events of the kernel are not permitted here\n");
		return;
	}
	trap_reset();
	check(read(zero, page + 8 * PAGE, 4 * PAGE) == (ssize_t)(4 * PAGE), "read is short");
	check(traps->nr == 1, "%u signals of four pages", traps->nr);
	check(traps->addr >= (uint64_t)(page + 8 * PAGE) &&
		      traps->addr < (uint64_t)(page + 9 * PAGE),
	      "not of the first page");
	if (pipe(pipes))
		lab_die("pipe");
	pid = fork();
	if (pid == 0) {
		usleep(50000);
		_exit(write(pipes[1], "abc", 3) != 3);
	}
	trap_reset();
	check(read(pipes[0], page + 16 * PAGE, 3) == 3, "a read that waited");
	check(traps->nr == 1, "%u signals of a read that waited", traps->nr);
	waitpid(pid, NULL, 0);
	close(fd);
}

int main(void)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	page = lab_map(64);
	trap_init(page, 64);
	if (zero < 0)
		lab_skip("no /dev/zero");
	without_kernel(zero);
	with_kernel(zero);
	return lab_result();
}
