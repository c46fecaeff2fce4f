/* SPDX-License-Identifier: MIT */
/*
 * A bare userfaultfd handler: what anybody would write first.  It copies the page into
 * fresh memory, one after the other, and lets it go; no tables, no batches, nothing to
 * find a page again by.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "bench.h"

struct bare {
	int fd;
	volatile int stop;
	bool spin;
};

static char *place;

static void protect(int fd, char *addr, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { (uint64_t)(uintptr_t)addr, len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	if (ioctl(fd, UFFDIO_WRITEPROTECT, &wp)) {
		perror("UFFDIO_WRITEPROTECT");
		exit(1);
	}
}

static void *handler(void *arg)
{
	struct bare *h = arg;
	struct pollfd p = { h->fd, POLLIN, 0 };
	struct uffd_msg msg;

	while (!h->stop) {
		if (!h->spin)
			poll(&p, 1, 20);
		while (read(h->fd, &msg, sizeof(msg)) == sizeof(msg)) {
			char *page = (char *)(msg.arg.pagefault.address & ~(PAGE - 1));

			memcpy(place, page, PAGE);
			place += PAGE;
			protect(h->fd, page, PAGE, false);
		}
	}
	return NULL;
}

static double once(struct bench *b, const uint32_t *pages, size_t nr, bool spin)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = { .range = { (uint64_t)(uintptr_t)b->mem, b->len },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	struct bare h = { .spin = spin };
	pthread_t thread;
	char *copies;
	double us;

	copies = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	place = copies;

	h.fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (h.fd < 0 || ioctl(h.fd, UFFDIO_API, &api) || ioctl(h.fd, UFFDIO_REGISTER, &reg)) {
		perror("userfaultfd");
		exit(1);
	}
	protect(h.fd, b->mem, b->len, true);
	pthread_create(&thread, NULL, handler, &h);
	us = bench_writes_us(b, pages, nr);
	h.stop = 1;
	pthread_join(thread, NULL);
	close(h.fd);
	munmap(copies, nr * PAGE);
	return us;
}

/* The better of sleeping and spinning. */
double bench_bare_us(struct bench *b, bool random)
{
	size_t nr = 10000;
	uint32_t *pages = malloc(nr * sizeof(*pages));
	double best = 1e9;

	for (int i = 0; i < 6; i++) {
		double us;

		bench_fill(b);
		bench_order(b, pages, nr, random);
		us = once(b, pages, nr, i % 2);
		best = us < best ? us : best;
	}
	free(pages);
	return best;
}
