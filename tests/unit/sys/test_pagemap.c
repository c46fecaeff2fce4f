/* SPDX-License-Identifier: MIT */
/* sys/pagemap, sys/kpage, sys/kcaps against memory whose state the test knows. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "sys/kcaps.h"
#include "sys/kpage.h"
#include "sys/pagemap.h"
#include "sys/uapi.h"
#include "sys/uffd.h"

#define NR 3000

static struct ct_kcaps caps;
static int self = -1;

static char *map(size_t nr_pages)
{
	char *p = mmap(NULL, nr_pages * CT_PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	madvise(p, nr_pages * CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	return p;
}

static void reads_what_is_there(void **state)
{
	char *p = map(NR);
	u64 *e = calloc(NR, sizeof(*e));

	for (size_t i = 0; i < NR; i += 2)
		p[i * CT_PAGE_SIZE] = 1;
	assert_int_equal(ct_pagemap_read(self, ct_page_of((uintptr_t)p), NR, e), NR);
	for (size_t i = 0; i < NR; i++) {
		assert_int_equal(!!(e[i] & CT_PM_PRESENT), i % 2 == 0);
		assert_false(e[i] & (CT_PM_SWAPPED | CT_PM_FILE));
		if (caps.pfns)
			assert_int_equal(!!(e[i] & CT_PM_PFN_MASK), i % 2 == 0);
	}
	assert_int_equal(ct_pagemap_read(self, 0, 0, e), 0);
	free(e);
	munmap(p, NR * CT_PAGE_SIZE);
}

static void short_at_the_end(void **state)
{
	u64 e[16];
	ssize_t n = ct_pagemap_read(self, ct_page_of(CT_USER_END) - 4, 16, e);

	/* 6.18 x86-64 counts the unusable last page of the half too. */
	assert_true(n == 4 || n == 5 || n == 16);
	assert_int_equal(ct_pagemap_read(self, 1ULL << 50, 16, e), 0);
}

static void scan_by_any_room(void **state)
{
	static const size_t rooms[] = { 1, 2, 3, 511, 512, 513, 1000, 4096 };
	char *p = map(NR);
	u64 start = (uintptr_t)p, end = start + NR * CT_PAGE_SIZE;
	struct ct_scan_run *runs = calloc(4096, sizeof(*runs));

	if (!caps.pagemap_scan)
		skip();
	for (size_t i = 0; i < NR; i += 2)
		p[i * CT_PAGE_SIZE] = 1;
	for (size_t k = 0; k < ct_array_size(rooms); k++) {
		u64 at = start, want = start;
		size_t seen = 0;

		while (at < end) {
			ssize_t n = ct_pagemap_scan_anon(self, at, end, runs, rooms[k], &at);

			assert_true(n >= 0);
			for (ssize_t i = 0; i < n; i++, seen++) {
				assert_int_equal(runs[i].start, want);
				assert_int_equal(runs[i].end, want + CT_PAGE_SIZE);
				assert_int_equal(runs[i].categories, CT_SCAN_PRESENT);
				want += 2 * CT_PAGE_SIZE;
			}
		}
		assert_int_equal(seen, NR / 2);
	}
	free(runs);
	munmap(p, NR * CT_PAGE_SIZE);
}

static void scan_leaves_out(void **state)
{
	char *p = map(8);
	struct ct_scan_run run[8];
	u64 start = (uintptr_t)p, next;

	if (!caps.pagemap_scan)
		skip();
	(void)*(volatile char *)p; /* the zero page */
	p[CT_PAGE_SIZE] = 1;
	p[2 * CT_PAGE_SIZE] = 1;
	if (madvise(p + 5 * CT_PAGE_SIZE, CT_PAGE_SIZE, MADV_GUARD_INSTALL) == 0) {
		u64 e;

		assert_int_equal(ct_pagemap_read(self, ct_page_of(start) + 5, 1, &e), 1);
		assert_true(e & CT_PM_SWAPPED);
		assert_true(ct_pm_is_marker(e) || !caps.pfns);
	}
	assert_int_equal(ct_pagemap_scan_anon(self, start, start + 8 * CT_PAGE_SIZE, run, 8, &next),
			 1);
	assert_int_equal(run[0].start, start + CT_PAGE_SIZE);
	assert_int_equal(run[0].end, start + 3 * CT_PAGE_SIZE);
	assert_int_equal(next, start + 8 * CT_PAGE_SIZE);
	munmap(p, 8 * CT_PAGE_SIZE);
}

static void scan_ends_well(void **state)
{
	struct ct_scan_run *runs = calloc(4096, sizeof(*runs));
	u64 next = 0;
	ssize_t n;

	if (!caps.pagemap_scan)
		skip();
	n = ct_pagemap_scan_anon(self, 0, UINT64_MAX, runs, 4096, &next);
	assert_true(n > 5 && n < 4096);
	assert_true(next == UINT64_MAX);
	for (ssize_t i = 1; i < n; i++)
		assert_true(runs[i].start >= runs[i - 1].end);
	assert_int_equal(ct_pagemap_scan_anon(self, CT_USER_END, UINT64_MAX, runs, 1, &next), 0);
	assert_true(next == UINT64_MAX);
	assert_int_equal(ct_pagemap_scan_anon(self, 0, 1, runs, 0, &next), -EINVAL);
	free(runs);
}

static void next_page(void **state)
{
	size_t nr = 1 << 20; /* 4 GiB of nothing, and three pages in it */
	char *p = map(nr);
	u64 start = (uintptr_t)p, end = start + nr * CT_PAGE_SIZE, at = 0;
	static const size_t pages[] = { 7, 8, 900000 };

	if (!caps.pagemap_scan)
		skip();
	assert_int_equal(ct_pagemap_next(self, start, end, &at), 0);
	assert_true(at == end);
	for (size_t i = 0; i < ct_array_size(pages); i++)
		p[pages[i] * CT_PAGE_SIZE] = 1;
	for (size_t i = 0; i < ct_array_size(pages); i++) {
		assert_int_equal(ct_pagemap_next(self, i ? at + CT_PAGE_SIZE : start, end, &at), 0);
		assert_int_equal(at, start + pages[i] * CT_PAGE_SIZE);
	}
	assert_int_equal(ct_pagemap_next(self, at + CT_PAGE_SIZE, end, &at), 0);
	assert_true(at == end);
	assert_int_equal(ct_pagemap_next(self, CT_USER_END, UINT64_MAX, &at), 0);
	assert_true(at == UINT64_MAX);
	munmap(p, nr * CT_PAGE_SIZE);
}

static void scans_of_huge_and_file(void **state)
{
	char *p = mmap(NULL, 2 * CT_HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	char *shared =
		mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 start = ((uintptr_t)p + CT_HUGE_SIZE - 1) & ~(CT_HUGE_SIZE - 1), next;
	struct ct_scan_run run[4], all[4];
	ssize_t n;

	if (!caps.pagemap_scan)
		skip();
	*shared = 1;
	n = ct_pagemap_scan_anon(self, (uintptr_t)shared, (uintptr_t)shared + CT_PAGE_SIZE, run, 4,
				 &next);
	assert_int_equal(n, 0);
	n = ct_pagemap_scan_mapped(self, (uintptr_t)shared, (uintptr_t)shared + CT_PAGE_SIZE, run,
				   4, &next);
	assert_int_equal(n, 1);
	if (madvise((void *)start, CT_HUGE_SIZE, MADV_HUGEPAGE) < 0)
		skip();
	*(char *)start = 1;
	n = ct_pagemap_scan_huge(self, start, start + CT_HUGE_SIZE, run, 4, &next);
	assert_int_equal(ct_pagemap_scan_mapped(self, start, start + CT_HUGE_SIZE, all, 4, &next),
			 1);
	assert_int_equal(n, !!(all[0].categories & CT_SCAN_HUGE));
	if (n == 1) {
		assert_int_equal(run[0].start, start);
		assert_int_equal(run[0].end, start + CT_HUGE_SIZE);
		mprotect((void *)start, CT_PAGE_SIZE, PROT_READ);
		assert_int_equal(
			ct_pagemap_scan_huge(self, start, start + CT_HUGE_SIZE, run, 4, &next), 0);
	}
	munmap(shared, CT_PAGE_SIZE);
	munmap(p, 2 * CT_HUGE_SIZE);
}

static void protect(int uffd, u64 start, u64 len)
{
	int r;

	assert_int_equal(ct_uffd_register_wp(uffd, start, len), 0);
	r = ct_uffd_protect(uffd, start, len);
	assert_int_equal(r, 0);
}

static int own_uffd(void)
{
	ct_auto_fd int dev = -1;
	int fd;
	u64 missing;

	if (!caps.pagemap_scan || ct_uffd_open_dev(&dev) < 0)
		skip();
	assert_int_equal(ct_uffd_create(dev, &fd), 0);
	if (ct_uffd_api(fd, &missing) < 0)
		skip();
	return fd;
}

static void scan_unprotected(void **state)
{
	ct_auto_fd int uffd = own_uffd();
	struct ct_scan_run run[8];
	u64 start, next;
	char *p = map(8);

	start = (uintptr_t)p;
	for (size_t i = 0; i < 4; i++)
		p[i * CT_PAGE_SIZE] = 1;
	(void)*(volatile char *)(p + 5 * CT_PAGE_SIZE); /* the zero page */
	/* Nobody's: everything. */
	assert_int_equal(ct_pagemap_scan_unprotected(self, start, start + 8 * CT_PAGE_SIZE, run, 8,
						     &next),
			 1);
	assert_int_equal(run[0].end, start + 4 * CT_PAGE_SIZE);
	protect(uffd, start, 8 * CT_PAGE_SIZE);
	assert_int_equal(ct_pagemap_scan_unprotected(self, start, start + 8 * CT_PAGE_SIZE, run, 8,
						     &next),
			 0);
	assert_true(next == start + 8 * CT_PAGE_SIZE);
	/* Resolved; filled; filled and only read. */
	assert_int_equal(ct_uffd_unprotect(uffd, start + CT_PAGE_SIZE, CT_PAGE_SIZE, true), 0);
	p[CT_PAGE_SIZE] = 2;
	p[6 * CT_PAGE_SIZE] = 2;
	(void)*(volatile char *)(p + 7 * CT_PAGE_SIZE);
	assert_int_equal(ct_pagemap_scan_unprotected(self, start, start + 8 * CT_PAGE_SIZE, run, 8,
						     &next),
			 2);
	assert_int_equal(run[0].start, start + CT_PAGE_SIZE);
	assert_int_equal(run[0].end, start + 2 * CT_PAGE_SIZE);
	assert_int_equal(run[0].categories, CT_SCAN_PRESENT);
	assert_int_equal(run[1].start, start + 6 * CT_PAGE_SIZE);
	assert_int_equal(run[1].end, start + 7 * CT_PAGE_SIZE);
	munmap(p, 8 * CT_PAGE_SIZE);
}

/* Every other page, and more of them than the kernel's own buffer holds. */
static void scan_unprotected_goes_on(void **state)
{
	ct_auto_fd int uffd = own_uffd();
	struct ct_scan_run run[100];
	u64 start, end, at;
	size_t seen = 0;
	char *p = map(NR);

	start = at = (uintptr_t)p;
	end = start + NR * CT_PAGE_SIZE;
	memset(p, 1, NR * CT_PAGE_SIZE);
	protect(uffd, start, end - start);
	for (size_t i = 1; i < NR; i += 2)
		assert_int_equal(
			ct_uffd_unprotect(uffd, start + i * CT_PAGE_SIZE, CT_PAGE_SIZE, true), 0);
	while (at < end) {
		ssize_t n = ct_pagemap_scan_unprotected(self, at, end, run, 100, &at);

		assert_true(n >= 0);
		for (ssize_t i = 0; i < n; i++, seen++)
			assert_int_equal(run[i].start, start + (2 * seen + 1) * CT_PAGE_SIZE);
	}
	assert_int_equal(seen, NR / 2);
	munmap(p, NR * CT_PAGE_SIZE);
}

static void scan_of_no_pagemap(void **state)
{
	ct_auto_fd int fd = open("/dev/null", O_RDONLY);
	struct ct_scan_run run;
	u64 next = 77;

	assert_int_equal(ct_pagemap_scan_anon(fd, 0, CT_USER_END, &run, 1, &next), -ENOTSUP);
	assert_int_equal(ct_pagemap_scan_anon(-1, 0, CT_USER_END, &run, 1, &next), -EBADF);
	assert_int_equal(next, 77);
}

static void processes_that_go(void **state)
{
	struct ct_scan_run run;
	pid_t pid = unit_child();
	int fd, none = -7;
	u64 e, next;

	assert_int_equal(ct_pagemap_open(pid, &fd), 0);
	assert_int_equal(ct_pagemap_read(fd, 0, 1, &e), 1);
	unit_make_zombie(pid);
	assert_int_equal(ct_pagemap_read(fd, 0, 1, &e), 0);
	assert_int_equal(ct_pagemap_scan_anon(fd, 0, CT_USER_END, &run, 1, &next),
			 caps.pagemap_scan ? -ESRCH : -ENOTSUP);
	assert_int_equal(ct_pagemap_open(pid, &none), -ESRCH);
	unit_reap(pid);
	assert_int_equal(ct_pagemap_open(pid, &none), -ESRCH);
	assert_int_equal(none, -7);
	close(fd);
}

static void kpage_of_a_known_page(void **state)
{
	struct ct_kpage k;
	char *p = map(1);
	u64 e, v;

	if (ct_kpage_open(&k) < 0) {
		assert_int_equal(k.flags_fd, -1);
		assert_int_equal(ct_kpage_flags(&k, 1, 1, &v), -EACCES);
		assert_false(caps.kpage);
		skip();
	}
	*p = 1;
	assert_int_equal(ct_pagemap_read(self, ct_page_of((uintptr_t)p), 1, &e), 1);
	if (caps.pfns) {
		assert_int_equal(ct_kpage_flags(&k, e & CT_PM_PFN_MASK, 1, &v), 1);
		assert_true(v & CT_KPF_ANON);
		assert_int_equal(!!(v & CT_KPF_ANON_EXCLUSIVE), caps.anon_exclusive);
		assert_int_equal(ct_kpage_counts(&k, e & CT_PM_PFN_MASK, 1, &v), 1);
		assert_int_equal(v, 1);
		assert_int_equal(ct_kpage_flags(&k, caps.zero_pfn, 1, &v), 1);
		assert_true(v & CT_KPF_ZERO_PAGE);
	}
	/* Past the last page of the machine. */
	assert_int_equal(ct_kpage_flags(&k, 1ULL << 50, 1, &v), 0);
	ct_kpage_close(&k);
	ct_kpage_close(&k);
	ct_kpage_close(NULL);
	munmap(p, CT_PAGE_SIZE);
}

static void caps_are_the_same_twice(void **state)
{
	struct ct_kcaps again;

	ct_kcaps_probe(&again);
	assert_memory_equal(&again, &caps, sizeof(caps));
	/* The probe's child is gone, and nobody was told. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

static int setup(void **state)
{
	memset(&caps, 0, sizeof(caps));
	ct_kcaps_probe(&caps);
	return ct_pagemap_open(getpid(), &self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_there),
		cmocka_unit_test(short_at_the_end),
		cmocka_unit_test(scan_by_any_room),
		cmocka_unit_test(scan_leaves_out),
		cmocka_unit_test(scan_ends_well),
		cmocka_unit_test(next_page),
		cmocka_unit_test(scans_of_huge_and_file),
		cmocka_unit_test(scan_of_no_pagemap),
		cmocka_unit_test(scan_unprotected),
		cmocka_unit_test(scan_unprotected_goes_on),
		cmocka_unit_test(processes_that_go),
		cmocka_unit_test(kpage_of_a_known_page),
		cmocka_unit_test(caps_are_the_same_twice),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
