/* SPDX-License-Identifier: MIT */
/* The contract's exception, shown: a buffer that was pinned before the take. */
#include "snap_util.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static struct io_uring_params params;

static int read_fixed(int ring, int from, void *to, unsigned int len)
{
	char *sq = mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE,
			MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, params.sq_entries * sizeof(*sqe),
					PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	unsigned int *tail;

	if (sq == MAP_FAILED || sqe == MAP_FAILED)
		return -1;
	tail = (unsigned int *)(sq + params.sq_off.tail);
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ_FIXED, .fd = from, .addr = (uintptr_t)to, .len = len
	};
	((unsigned int *)(sq + params.sq_off.array))[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return (int)syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

int main(void)
{
	struct cowtrace_heap *h;
	struct cowtrace_snapshot *before, *after;
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params), file = memfd_create("source", 0);
	struct iovec iov;
	char text[PAGE], *p, c;

	if (ring < 0 || cowtrace_heap_create(MIB, NULL, &h)) {
		printf("SKIP: no io_uring here\n");
		return 77;
	}
	p = cowtrace_heap_base(h);
	memset(p, 7, MIB);
	memset(text, 1, sizeof(text));
	iov = (struct iovec){ p, PAGE };
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1) ||
	    pwrite(file, text, sizeof(text), 0) != sizeof(text)) {
		printf("SKIP: no buffer can be registered here\n");
		return 77;
	}
	if (cowtrace_snapshot_take(h, &before) || read_fixed(ring, file, p, PAGE) != 1)
		return 1;
	/* The snapshot has what was written after it: that is what the contract excludes. */
	if (cowtrace_snapshot_read(before, 0, &c, 1) || p[0] != 1 || c != 1) {
		printf("it saw the write: the contract may promise more\n");
		return 1;
	}
	/* A transfer that has ended before the take is in it, as anything else. */
	if (cowtrace_snapshot_take(h, &after))
		return 1;
	p[0] = 2;
	if (cowtrace_snapshot_read(after, 0, &c, 1) || c != 1)
		return 1;
	cowtrace_heap_destroy(h);
	return 0;
}
