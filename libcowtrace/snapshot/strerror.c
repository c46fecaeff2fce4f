/* SPDX-License-Identifier: MIT */
/* A sentence for each error that <cowtrace/snapshot.h> documents. */
#include <errno.h>

#include <cowtrace/snapshot.h>

#include "base/base.h"

static const struct {
	int err;
	const char *text;
} sentences[] = {
	{ 0, "it worked" },
	{ EINVAL, "an argument is wrong: not page-aligned, outside the heap, or an option "
		  "without such a value" },
	{ ENOTSUP, "this cannot be done here: the kernel lacks userfaultfd write protection "
		   "(Linux 5.7), or the memory is not private and anonymous" },
	{ EPERM, "userfaultfd is forbidden in this process: allow it in its seccomp filter" },
	{ ENOMEM, "there is no memory, or no address space, for the library's tables" },
	{ EMFILE, "too many: snapshots of this heap are alive (release one), or files are open" },
	{ ENFILE, "the system has too many open files" },
	{ EAGAIN, "the system has no thread for it, or every snapshot handle is in use: end the "
		  "calls on released snapshots" },
	{ EBUSY, "the memory belongs to another heap or userfaultfd, or 64 heaps are served by "
		 "signal already" },
	{ EFAULT, "a part of the heap's memory is not mapped: do not unmap it before "
		  "cowtrace_heap_destroy()" },
	{ EACCES, "a part of the memory is not both readable and writable" },
	{ ESTALE, "the snapshot was given up when saved pages reached their limit: raise "
		  "saved_max, read faster, or let writers wait" },
	{ EBADF, "the snapshot was released already" },
	{ ECHILD, "the heap is the parent process's: a forked child has its memory, not its "
		  "snapshots" },
	{ ENOSPC, "the file's device is full" },
	{ EPIPE, "the other end of the pipe or socket is closed" },
	{ EIO, "the file could not be written" },
};

const char *cowtrace_strerror(int err)
{
	if (err < 0)
		err = -err;
	for (size_t i = 0; i < ct_array_size(sentences); i++)
		if (sentences[i].err == err)
			return sentences[i].text;
	return "a system call failed: see errno(3) for this number";
}
