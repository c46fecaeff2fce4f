/* SPDX-License-Identifier: MIT */
/* The least that a program needs to try userfaultfd's write protection. */
#ifndef UF_H
#define UF_H

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#endif

#define check(cond, ...)                                                  \
	do {                                                              \
		if (!(cond)) {                                            \
			printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			printf(__VA_ARGS__);                              \
			printf("\n");                                     \
			exit(1);                                          \
		}                                                         \
	} while (0)

static inline void skip(const char *why)
{
	printf("SKIP: %s\n", why);
	exit(77);
}

static inline char *uf_map(size_t len, int prot)
{
	char *p = mmap(NULL, len + HUGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED, "mmap");
	return (char *)(((uintptr_t)p + HUGE - 1) & -HUGE);
}

/* What everybody may open; -1 and errno. */
static inline int uf_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0 || !ioctl(fd, UFFDIO_API, &api))
		return fd;
	close(fd);
	return -1;
}

static inline int uf_register(int fd, void *p, size_t len, uint64_t mode)
{
	struct uffdio_register r = { .range = { (uint64_t)(uintptr_t)p, len }, .mode = mode };

	return ioctl(fd, UFFDIO_REGISTER, &r) ? -errno : 0;
}

static inline int uf_protect(int fd, void *p, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { (uint64_t)(uintptr_t)p, len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

/* A heap as the library has it: protected, first writes raise SIGBUS. */
static inline int uf_sigbus(char *p, size_t len)
{
	int fd = uf_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_SIGBUS |
			 UFFD_FEATURE_WP_UNPOPULATED);

	if (fd < 0)
		skip("no userfaultfd with WP_UNPOPULATED");
	check(!uf_register(fd, p, len, UFFDIO_REGISTER_MODE_WP), "register");
	return fd;
}

/* One page's bit of pagemap. */
static inline uint64_t uf_pagemap(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t e = 0;

	check(pread(fd, &e, 8, (off_t)((uintptr_t)p / PAGE * 8)) == 8, "pagemap");
	close(fd);
	return e;
}
#define PM_WP (1ull << 57)

static inline long uf_smaps(const char *p, const char *field)
{
	char line[300];
	FILE *f = fopen("/proc/self/smaps", "r");
	bool in = false;
	long kib = -1;

	while (f && kib < 0 && fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			in = (uintptr_t)p >= start && (uintptr_t)p < end;
		else if (in && !strncmp(line, field, strlen(field)))
			kib = atol(line + strlen(field) + 1);
	}
	fclose(f);
	return kib;
}

#endif
