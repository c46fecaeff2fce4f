/* SPDX-License-Identifier: MIT */
/*
 * Invariant: reading changes no page of the process but for those that were
 * swapped out, which come back.
 */
#include "sys/mem.h"

#include <errno.h>
#include <unistd.h>

#include "sys/procfile.h"

int ct_mem_open(pid_t pid, int *ret_fd)
{
	return ct_proc_open(pid, "mem", ret_fd);
}

size_t ct_mem_read(int fd, u64 addr, void *buf, size_t len)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, (off_t)addr);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}
