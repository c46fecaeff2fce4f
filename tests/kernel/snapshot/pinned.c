/* SPDX-License-Identifier: MIT */
/*
 * What write protection cannot see: a write through a page that was pinned before.
 * A read with O_DIRECT of a slow source is the usual case; vmsplice(SPLICE_F_GIFT)
 * and process_vm_writev are not pins.  Tried with io_uring's registered buffers: the
 * page is protected, the kernel writes to it, and nobody hears of it.
 */
#include "uf.h"

#include <linux/io_uring.h>

static volatile unsigned int nr;

static void on_bus(int sig)
{
	nr++;
	_exit(4);
}

struct ring {
	int fd;
	char *sq, *cq;
	struct io_uring_params p;
	struct io_uring_sqe *sqes;
};

static bool ring_open(struct ring *r)
{
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return false;
	r->sq = mmap(NULL, r->p.sq_off.array + r->p.sq_entries * 4, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	return r->sq != MAP_FAILED && r->cq != MAP_FAILED && r->sqes != MAP_FAILED;
}

static int read_fixed(struct ring *r, int from, char *to, unsigned int len)
{
	unsigned int *tail = (unsigned int *)(r->sq + r->p.sq_off.tail);
	struct io_uring_cqe *cqe = (struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes);

	r->sqes[0] = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
					    .fd = from,
					    .addr = (uint64_t)(uintptr_t)to,
					    .len = len };
	((unsigned int *)(r->sq + r->p.sq_off.array))[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	check(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1,
	      "io_uring_enter: %s", strerror(errno));
	return cqe[0].res;
}

int main(void)
{
	struct ring r = { 0 };
	char *p = uf_map(PAGE, PROT_READ | PROT_WRITE);
	struct iovec {
		void *base;
		size_t len;
	} iov = { p, PAGE };
	int file = memfd_create("source", 0), fd, n;
	char text[100];

	signal(SIGBUS, on_bus);
	if (!ring_open(&r))
		skip("io_uring is not to be had here");
	memset(p, 7, PAGE);
	memset(text, 1, sizeof(text));
	check(pwrite(file, text, sizeof(text), 0) == sizeof(text), "source");
	if (syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &iov, 1))
		skip("no buffers can be registered here (RLIMIT_MEMLOCK)");
	fd = uf_sigbus(p, PAGE);
	check(!uf_protect(fd, p, PAGE, true), "protect");
	n = read_fixed(&r, file, p, sizeof(text));
	check(n == sizeof(text), "read: %d", n);
	check(p[0] == 1 && !nr, "the kernel's write was noticed: the contract may promise more");
	check(uf_pagemap(p) & PM_WP, "it is no longer protected");
	return 0;
}
