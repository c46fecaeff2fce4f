/* SPDX-License-Identifier: MIT */
/*
 * What views are made of: a read-only mapping whose missing pages are filled by
 * UFFDIO_COPY when they are touched; a page that is poisoned (Linux 6.6) raises SIGBUS;
 * filling one that is there gives EEXIST; unmapping wakes nobody, but UFFDIO_WAKE does.
 */
#include "uf.h"

#include <setjmp.h>

static sigjmp_buf jump;
static char *p;
static int fd;

static void on_bus(int sig)
{
	siglongjmp(jump, 1);
}

static int fill(char *to, char with, size_t len)
{
	static char from[4 * 4096];
	struct uffdio_copy c = { .dst = (uint64_t)(uintptr_t)to,
				 .src = (uint64_t)(uintptr_t)from,
				 .len = len };

	memset(from, with, sizeof(from));
	return ioctl(fd, UFFDIO_COPY, &c) ? -errno : 0;
}

static void *serve(void *arg)
{
	struct pollfd pf = { fd, POLLIN, 0 };
	struct uffd_msg msg;

	for (int i = 0; i < 2; i++) {
		struct uffdio_poison bad;
		char *page;

		poll(&pf, 1, 10000);
		if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
			return (void *)1;
		page = (char *)(msg.arg.pagefault.address & ~(PAGE - 1));
		if (i == 0) {
			if (fill(page, 5, 2 * PAGE))
				return (void *)2;
			continue;
		}
		bad = (struct uffdio_poison){ .range = { (uint64_t)(uintptr_t)page, PAGE } };
		if (ioctl(fd, UFFDIO_POISON, &bad))
			return (void *)3;
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;
	void *ret;

	signal(SIGBUS, on_bus);
	fd = uf_open(UFFD_FEATURE_POISON);
	if (fd < 0)
		skip("no UFFDIO_POISON");
	p = uf_map(8 * PAGE, PROT_READ);
	check(!uf_register(fd, p, 8 * PAGE, UFFDIO_REGISTER_MODE_MISSING), "register");
	pthread_create(&thread, NULL, serve, NULL);
	check(((volatile char *)p)[PAGE + 3] == 5, "filled");
	check(((volatile char *)p)[2 * PAGE] == 5, "filled ahead");
	check(fill(p + PAGE, 6, PAGE) == -EEXIST && p[PAGE] == 5, "a page that is there");
	if (!sigsetjmp(jump, 1)) {
		(void)((volatile char *)p)[4 * PAGE];
		check(false, "a poisoned page can be read");
	}
	pthread_join(thread, &ret);
	check(!ret, "the server: %ld", (long)ret);
	return 0;
}
