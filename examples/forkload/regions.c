/* SPDX-License-Identifier: MIT */
/*
 * forkload's memory: one region of each kind, every one on pages of its own.
 *
 * Each mapping has an inaccessible page on both sides, so that the kernel
 * cannot merge two regions into one VMA.  The static arrays and the stack lie
 * within VMAs that hold other pages too: there a tracer needs the tag (--tag).
 */
#include "forkload.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As in <cowtrace/trace.h>; weak: with --tag and no cowtrace around, nothing is called. */
extern int cowtrace_region_tag(const void *addr, size_t len, const char *name)
	__attribute__((weak));

#define aligned_page __attribute__((aligned(FL_PAGE)))

static unsigned char bss_area[128 * FL_PAGE] aligned_page;
static unsigned char data_area[64 * FL_PAGE] aligned_page = { 1 };

static void *map_between_guards(size_t len, size_t align, int fd)
{
	size_t whole = len + align + 2 * FL_PAGE;
	char *p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at = ((uintptr_t)p + FL_PAGE + align - 1) / align * align;
	int flags = MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0);

	if (p == MAP_FAILED ||
	    mmap((void *)at, len, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
		fl_die("mmap");
	return (void *)at;
}

static void *map_brk(size_t len)
{
	uintptr_t now = (uintptr_t)sbrk(0);
	size_t pad = (FL_PAGE - now % FL_PAGE) % FL_PAGE;

	if (sbrk((intptr_t)(pad + len)) == (void *)-1)
		fl_die("sbrk");
	return (void *)(now + pad);
}

static void *map_file(size_t len)
{
	int fd = memfd_create("forkload", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)len))
		fl_die("memfd_create");
	p = map_between_guards(len, FL_PAGE, fd);
	close(fd);
	return p;
}

uint32_t fl_stack_pages(const struct fl *fl)
{
	return fl->regions[FL_STACK].pages;
}

static void tag(const struct fl *fl, int r)
{
	const struct fl_region *reg = &fl->regions[r];

	if (fl->tag && cowtrace_region_tag)
		cowtrace_region_tag((void *)fl->procs[FL_P].start[r], reg->pages * FL_PAGE,
				    reg->name);
}

static void advise(void *p, size_t len, int advice)
{
	if (madvise(p, len, advice))
		fl_die("madvise");
}

void fl_regions_map(struct fl *fl, void *stack)
{
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		size_t len = fl->regions[r].pages * FL_PAGE;
		void *p;

		if (!len)
			continue;
		if (r == FL_BRK)
			p = map_brk(len);
		else if (r == FL_STACK)
			p = stack;
		else if (r == FL_BSS)
			p = bss_area;
		else if (r == FL_DATA)
			p = data_area;
		else if (r == FL_FILE)
			p = map_file(len);
		else
			p = map_between_guards(len, r == FL_THP ? FL_UNIT_PAGES * FL_PAGE : FL_PAGE,
					       -1);
		/* On its own mappings only: advice would cut the heap, the stack and the data in
		 * two. */
		if (r == FL_THP || r > FL_DATA || r == FL_MMAP)
			advise(p, len, r == FL_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		fl->procs[FL_P].start[r] = (uintptr_t)p;
		tag(fl, r);
	}
}

/* Every page written once, but for the pages whose point is that they were only read. */
void fl_regions_fill(struct fl *fl)
{
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		uint32_t pages = fl->regions[r].pages;
		uint32_t written = r == FL_ZERO ? 0 : r == FL_FILE ? pages / 2 : pages;

		if (!pages)
			continue;
		fl_write(fl, FL_P, r, 0, written);
		fl_touch(fl, FL_P, r, written, pages - written);
	}
}
