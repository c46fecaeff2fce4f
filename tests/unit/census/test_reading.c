/* SPDX-License-Identifier: MIT */
/*
 * Readings of a child that stands still, against its page map read entry by
 * entry; with PAGEMAP_SCAN and without it, with page frames and without them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "census/plan.h"
#include "census/reading.h"
#include "census_util.h"
#include "sys/kpage.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SMALL 1000 /* pages, every third of them written */
#define HUGE (8 * CT_HUGE_SIZE)
#define BIG (20000 * CT_PAGE_SIZE) /* more than one read takes */

/* The child's memory; at the same addresses in both. */
static struct {
	char *small, *zero, *huge, *huge_zero, *big, *file, *own, *guarded;
} at;
static pid_t child;
static int pagemap_fd = -1;
static struct ct_kcaps caps;
static struct ct_kpage kpage;
static struct ct_maps maps;
static struct ct_plan plan;

static char *anon(size_t len)
{
	char *p = mmap(NULL, len + CT_HUGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return (char *)(((uintptr_t)p + CT_HUGE_SIZE - 1) & ~(CT_HUGE_SIZE - 1));
}

static char *private_file(size_t len)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	close(fd);
	return p;
}

static void map_all(void)
{
	at.small = anon(SMALL * CT_PAGE_SIZE);
	at.zero = anon(64 * CT_PAGE_SIZE);
	at.huge = anon(HUGE);
	at.huge_zero = anon(CT_HUGE_SIZE);
	at.big = anon(BIG);
	at.own = anon(32 * CT_PAGE_SIZE);
	at.guarded = anon(32 * CT_PAGE_SIZE);
	at.file = private_file(4 * CT_PAGE_SIZE);
	madvise(at.small, SMALL * CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	madvise(at.zero, 64 * CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	madvise(at.big, BIG, MADV_NOHUGEPAGE);
	madvise(at.huge, HUGE, MADV_HUGEPAGE);
	madvise(at.huge_zero, CT_HUGE_SIZE, MADV_HUGEPAGE);
}

static volatile char sink;

static void touch_all(void)
{
	size_t i;

	for (i = 0; i < SMALL; i += 3)
		at.small[i * CT_PAGE_SIZE] = 1;
	/* Read, then one page in four written: zero pages between anonymous ones. */
	for (i = 0; i < 64; i++)
		sink = at.zero[i * CT_PAGE_SIZE];
	for (i = 0; i < 64; i += 4)
		at.zero[i * CT_PAGE_SIZE] = 1;
	memset(at.huge, 1, HUGE);
	sink = at.huge_zero[0];
	memset(at.big, 1, BIG);
	at.file[CT_PAGE_SIZE] = 1;
	sink = at.file[2 * CT_PAGE_SIZE];
	memset(at.own, 1, 32 * CT_PAGE_SIZE);
	memset(at.guarded, 1, 16 * CT_PAGE_SIZE);
	/* Whatever this leaves, it is no page (EINVAL: a kernel before 6.13). */
	madvise(at.guarded + 4 * CT_PAGE_SIZE, 20 * CT_PAGE_SIZE, MADV_GUARD_INSTALL);
	/* A huge page that is no longer mapped as one. */
	madvise(at.huge + CT_HUGE_SIZE, CT_PAGE_SIZE, MADV_DONTNEED);
}

/* Whoever makes the kernel move pages holds this; the pages compared here must stay. */
static int hold_still(void)
{
	int fd = open("/tmp/cowtrace-sysfs.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	return fd < 0 || flock(fd, LOCK_EX);
}

/* A sanitizer's shadow is terabytes of address space: not looked at entry by entry. */
static void leave_out_reserves(void)
{
	size_t i, nr = 0;

	for (i = 0; i < maps.nr; i++)
		if (maps.vmas[i].end - maps.vmas[i].start < 1ULL << 30)
			maps.vmas[nr++] = maps.vmas[i];
	maps.nr = nr;
}

static int setup(void **state)
{
	int fds[2];
	char c;

	if (hold_still())
		return -1;

	ct_kcaps_probe(&caps);
	if (!caps.pfns || !caps.kpage)
		return 0;
	map_all();
	if (pipe(fds) || (child = fork()) < 0)
		return -1;
	if (child == 0) {
		/* It has the lock, too: it must not outlive a test that crashed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		touch_all();
		(void)!write(fds[1], "", 1);
		for (;;)
			pause();
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		return -1;
	close(fds[0]);
	if (ct_maps_load(child, &maps))
		return -1;
	if (ct_kpage_open(&kpage) || ct_pagemap_open(child, &pagemap_fd) ||
	    ct_plan_make(&maps, pagemap_fd, &caps, &plan))
		return -1;
	leave_out_reserves();
	return 0;
}

static int teardown(void **state)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	ct_plan_fini(&plan);
	ct_maps_fini(&maps);
	ct_kpage_close(&kpage);
	return 0;
}

/* What the page map says of one page, read and judged on its own. */
static ct_ent plain_entry(u64 page, bool *ret_alone)
{
	u64 e = 0, flags = 0;

	*ret_alone = false;
	if (pread(pagemap_fd, &e, sizeof(e), (off_t)(page * sizeof(e))) != sizeof(e))
		return CT_ENT_NONE;
	if (e & CT_PM_FILE)
		return CT_ENT_NONE;
	if (!(e & CT_PM_PRESENT)) {
		if (!(e & CT_PM_SWAPPED) || (e & 0x1f) == 0x1f)
			return CT_ENT_NONE;
		return (e & CT_PM_PFN_MASK) << 2 | CT_ENT_TAG_SWAP;
	}
	assert_int_equal(ct_kpage_flags(&kpage, e & CT_PM_PFN_MASK, 1, &flags), 1);
	if (flags & CT_KPF_ZERO_PAGE)
		return CT_ENT_NONE;
	*ret_alone = e & CT_PM_EXCLUSIVE;
	return ct_ent_page(e & CT_PM_PFN_MASK);
}

static bool is_own(const struct ct_reading_opts *o, u64 page)
{
	size_t i;

	for (i = 0; i < o->nr_own; i++)
		if (ct_addr_of(page) >= o->own[i].start && ct_addr_of(page) < o->own[i].end)
			return true;
	return false;
}

static ct_ent without_pfn(ct_ent e, bool alone)
{
	if (ct_ent_is_page(e))
		return alone ? CT_ENT_EXCLUSIVE : CT_ENT_SHARED;
	return e;
}

/* Pages of img in the reserves that leave_out_reserves() left out of the maps. */
static u64 outside(const struct ct_image *img)
{
	ct_ent e[CT_HUGE_PAGES];
	u64 nr = 0;
	u32 i, k;

	for (i = 0; i < img->nr; i++) {
		ct_chunk_expand(img->chunks[i], e);
		for (k = 0; k < CT_HUGE_PAGES; k++)
			nr += e[k] != CT_ENT_NONE &&
			      !ct_maps_find(&maps, ct_addr_of(img->keys[i] * CT_HUGE_PAGES + k));
	}
	return nr;
}

/* The whole of the child's private memory against img; returns the pages that it has. */
static u64 check_image(const struct ct_image *img, const struct ct_reading_opts *o, u64 *ret_alone)
{
	u64 pages = 0, page;
	size_t i;

	*ret_alone = 0;
	for (i = 0; i < maps.nr; i++) {
		const struct ct_vma *v = &maps.vmas[i];

		if (v->shared || v->start > 1ULL << 47)
			continue;
		for (page = ct_page_of(v->start); page < ct_page_of(v->end); page++) {
			bool alone;
			ct_ent e = plain_entry(page, &alone);

			if (is_own(o, page))
				e = CT_ENT_NONE;
			if (!o->caps->pfns)
				e = without_pfn(e, alone);
			assert_int_equal(ct_image_get(img, page), e);
			pages += e != CT_ENT_NONE;
			*ret_alone += e != CT_ENT_NONE && alone;
		}
	}
	assert_int_equal(img->pages - outside(img), pages);
	return pages;
}

static int nr_ticks;

static void count_tick(void *arg)
{
	nr_ticks++;
}

static struct ct_image *take(struct ct_reader *r, const struct ct_reading_opts *o)
{
	struct ct_image *img;

	assert_int_equal(ct_reading_take(r, pagemap_fd, o, &img), 0);
	return img;
}

static bool cannot_run(void)
{
	if (caps.pfns && caps.kpage)
		return false;
	print_message("page frame numbers are not permitted to this user\n");
	return true;
}

static void read_and_check(bool scan, bool pfns)
{
	const struct ct_own_range own[] = {
		{ (u64)at.own + CT_PAGE_SIZE, (u64)at.own + 20 * CT_PAGE_SIZE },
		{ (u64)at.huge + 3 * CT_HUGE_SIZE, (u64)at.huge + 4 * CT_HUGE_SIZE },
	};
	struct ct_kcaps mine = caps;
	struct ct_reading_opts o = {
		.caps = &mine,
		.plan = &plan,
		.maps = &maps,
		.own = own,
		.nr_own = ct_array_size(own),
		.tick = count_tick,
	};
	struct ct_reader r = { 0 };
	struct ct_image *img;
	u64 alone;
	size_t i;

	mine.pagemap_scan = scan;
	mine.pfns = pfns;
	nr_ticks = 0;
	img = take(&r, &o);
	assert_true(check_image(img, &o, &alone) > BIG / CT_PAGE_SIZE);
	assert_true(nr_ticks >= 1);
	/* What we have written since the reading leaves the child alone with it, too. */
	assert_in_range(alone + outside(img), r.nr_alone, r.nr_alone + 64 + outside(img));
	assert_true(r.nr_exclusive <= r.nr_alone);
	for (i = 1; i < r.nr_exclusive; i++)
		assert_true(r.exclusive[i - 1] < r.exclusive[i]);
	/* The same again, with the first for a base: nothing is held twice. */
	o.base = img;
	o.nr_own = 0;
	img = take(&r, &o);
	check_image(img, &o, &alone);
	assert_ptr_equal(img->chunks[ct_image_seek(img, (u64)at.big >> CT_HUGE_SHIFT)],
			 o.base->chunks[ct_image_seek(o.base, (u64)at.big >> CT_HUGE_SHIFT)]);
	ct_image_unref((struct ct_image *)o.base);
	ct_image_unref(img);
	ct_reader_fini(&r);
}

static void test_by_scan(void **state)
{
	if (cannot_run() || !caps.pagemap_scan)
		skip();
	read_and_check(true, true);
}

static void test_by_scan_without_pfns(void **state)
{
	if (cannot_run() || !caps.pagemap_scan)
		skip();
	read_and_check(true, false);
}

/*
 * A plan made before some of the memory was: every second VMA that is the
 * process's own was not there, and the VMAs in between were shorter by a page.
 */
static void test_by_an_old_plan(void **state)
{
	struct ct_maps before = { .vmas = calloc(maps.nr, sizeof(*maps.vmas)) };
	struct ct_plan old, now = plan;
	size_t i, nr_own = 0;

	assert_non_null(before.vmas);
	if (cannot_run() || !caps.pagemap_scan)
		skip();
	for (i = 0; i < maps.nr; i++) {
		struct ct_vma v = maps.vmas[i];

		if (!v.shared && v.w && nr_own++ % 2)
			continue;
		if (!v.shared && v.w && v.end - v.start > CT_PAGE_SIZE)
			v.end -= CT_PAGE_SIZE;
		before.vmas[before.nr++] = v;
	}
	assert_true(nr_own > 8);
	assert_int_equal(ct_plan_make(&before, pagemap_fd, &caps, &old), 0);
	plan = old;
	read_and_check(true, true);
	plan = now;
	ct_plan_fini(&old);
	free(before.vmas);
}

static void test_by_maps(void **state)
{
	if (cannot_run())
		skip();
	read_and_check(false, true);
}

/* Which of them are mapped by a PMD: the kernel's own sum says it. */
static void test_huge(void **state)
{
	const struct ct_reading_opts o = { .caps = &caps, .plan = &plan, .maps = &maps };
	struct ct_reader r = { 0 };
	unsigned long kib = 0;
	struct ct_image *img;
	char line[256];
	FILE *f;

	if (cannot_run() || !caps.pagemap_scan)
		skip();
	snprintf(line, sizeof(line), "/proc/%d/smaps_rollup", (int)child);
	f = fopen(line, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			break;
	fclose(f);
	img = take(&r, &o);
	assert_int_equal(img->huge_pages * 4, kib);
	if (kib) {
		assert_true(ct_image_is_huge(img, ct_page_of((u64)at.huge)));
		/* Split when one page of it was dropped. */
		assert_false(ct_image_is_huge(img, ct_page_of((u64)at.huge + CT_HUGE_SIZE)));
	}
	ct_image_unref(img);
	ct_reader_fini(&r);
}

static void test_pages_one_by_one(void **state)
{
	const u64 pages[] = { ct_page_of((u64)at.small) + 3, ct_page_of((u64)at.small) + 1,
			      ct_page_of((u64)at.zero) + 1, ct_page_of((u64)at.guarded) + 6, 1 };
	ct_ent ents[ct_array_size(pages)];
	size_t i;

	if (cannot_run())
		skip();
	assert_int_equal(ct_reading_pages(pagemap_fd, &caps, pages, ct_array_size(pages), ents), 0);
	for (i = 0; i < ct_array_size(pages); i++) {
		bool alone;

		assert_int_equal(ents[i], plain_entry(pages[i], &alone));
	}
	assert_true(ct_ent_is_page(ents[0]));
	assert_int_equal(ents[1], CT_ENT_NONE);
}

/* Of many pages that were written, those at the end of the address space are listed too. */
static void test_all_exclusive_are_listed(void **state)
{
	const struct ct_reading_opts o = { .caps = &caps, .plan = &plan, .maps = &maps };
	struct ct_reader r = { 0 };
	struct ct_image *img;

	if (cannot_run())
		skip();
	img = take(&r, &o);
	assert_true(r.nr_alone > BIG / CT_PAGE_SIZE);
	assert_int_equal(r.nr_exclusive, r.nr_alone);
	ct_image_unref(img);
	ct_reader_fini(&r);
}

/* The memory has gone with its process: that is not an empty image. */
static void test_gone(void **state)
{
	struct ct_reading_opts o = { .caps = &caps, .plan = &plan, .maps = &maps };
	struct ct_kcaps old = caps;
	struct ct_reader r = { 0 };
	struct ct_image *img = NULL;

	if (cannot_run())
		skip();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
	assert_int_equal(ct_reading_take(&r, pagemap_fd, &o, &img), -ESRCH);
	old.pagemap_scan = false;
	o.caps = &old;
	assert_int_equal(ct_reading_take(&r, pagemap_fd, &o, &img), -ESRCH);
	assert_null(img);
	ct_reader_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_scan),
		cmocka_unit_test(test_by_scan_without_pfns),
		cmocka_unit_test(test_by_an_old_plan),
		cmocka_unit_test(test_by_maps),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_pages_one_by_one),
		cmocka_unit_test(test_all_exclusive_are_listed),
		cmocka_unit_test(test_gone),
	};
	int failed = cmocka_run_group_tests(tests, setup, teardown);

	if (!failed && (!caps.pfns || !caps.kpage)) {
		puts("SKIP: page frame numbers are not permitted to this user: run as root");
		return 77;
	}
	return failed;
}
