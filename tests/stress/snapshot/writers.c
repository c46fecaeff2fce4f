/* SPDX-License-Identifier: MIT */
/* The writers: plain stores, memcpy, atomics, system calls. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "prefix.h"

/* The kernel writes the cell; its number we store ourselves, last, as always. */
static void by_system_call(struct run *r, int fd, struct cell *to, const struct cell *from)
{
	size_t len = offsetof(struct cell, number);

	if (pwrite(fd, from, len, 0) != (ssize_t)len)
		abort();
	for (;;) {
		ssize_t n;

		if (r->prepare && cowtrace_heap_prepare(r->heap, to, len))
			abort();
		n = pread(fd, to, len, 0);
		if (n == (ssize_t)len)
			return;
		/* A take came in between: once more. */
		if (!r->prepare || (n < 0 && errno != EFAULT))
			abort();
		r->efaults++;
	}
}

static void write_cell(struct run *r, int fd, struct cell *to, const struct cell *from, uint64_t k)
{
	switch (k % 16) {
	case 0:
		by_system_call(r, fd, to, from);
		break;
	case 1:
	case 2:
		for (size_t i = 0; i < MAX_THREADS; i++)
			__atomic_exchange_n(&to->seen[i], from->seen[i], __ATOMIC_RELAXED);
		memcpy(to->pattern, from->pattern, sizeof(to->pattern));
		break;
	case 3:
		for (size_t i = offsetof(struct cell, number); i-- > 0;)
			((volatile char *)to)[i] = ((const char *)from)[i];
		break;
	default:
		memcpy(to, from, offsetof(struct cell, number));
	}
	atomic_store_explicit(&to->number, k, memory_order_release);
}

void *prefix_writer(void *arg)
{
	struct writer *w = arg;
	struct run *r = w->run;
	int fd = memfd_create("cell", MFD_CLOEXEC);
	struct cell from;

	for (uint64_t k = 1; k <= r->nr_writes && !r->stop; k++) {
		for (uint32_t t = 0; t < MAX_THREADS; t++)
			from.seen[t] = atomic_load(&r->done[t]);
		memset(from.pattern, pattern_of(w->thread, k), sizeof(from.pattern));
		write_cell(r, fd, cell_at(r, r->base, w->thread, cell_of(r, w->thread, k)), &from,
			   k);
		atomic_store(&r->done[w->thread], k);
		if (r->page_out && k % 5000 == 0)
			madvise(r->base, cowtrace_heap_len(r->heap), MADV_PAGEOUT);
	}
	close(fd);
	return NULL;
}
