/* SPDX-License-Identifier: MIT */
/*
 * A fork with a pinned unit (a fixed buffer of io_uring): a pinned page may not be
 * shared, so that the fork splits the parent's mapping and copies all 512 pages for
 * the child.  One pinned page is enough.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char *fork_pinned(char *unit)
{
	struct iovec buffer = { .iov_base = unit + SMALL, .iov_len = PAGE };
	struct io_uring_params params = { .flags = 0 };
	int status = 0, fd = (int)syscall(SYS_io_uring_setup, 2, &params);
	pid_t pid;

	if (fd < 0)
		return NULL;
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &buffer, 1)) {
		close(fd);
		return NULL;
	}
	pid = fork();
	if (!pid)
		_exit(unit_is_huge(unit) || unit[5 * PAGE] != 1);
	waitpid(pid, &status, 0);
	check(pid > 0 && status == 0, "the child's unit is huge");
	close(fd);
	return unit;
}

static char *fork_alone(char *unit)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return unit;
}

int main(void)
{
	unit_check("fork", fork_alone, (struct want){ 0, 0, true });
	unit_check("fork with a pinned page", fork_pinned, (struct want){ 1, 0, false });
	return lab_result();
}
