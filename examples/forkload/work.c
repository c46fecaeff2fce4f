/* SPDX-License-Identifier: MIT */
/*
 * The functions that write, one for each region and role, so that a tracer's
 * call sites can be held against what was done: w_brk_parent, w_mmap_child, ...
 * And the ways to drop, move and withhold pages.
 *
 * Each operation tells the model first and then does it for real, by as many
 * threads as asked for, each on pages of its own.
 */
#include "forkload.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define noinline __attribute__((noinline))

/* The empty asm keeps the bodies from being folded into one. */
#define WRITER(name, how)                                  \
	static noinline void w_##name(volatile char *page) \
	{                                                  \
		how(page);                                 \
		__asm__ volatile("" ::: "memory");         \
	}
#define WRITERS(region, how)         \
	WRITER(region##_parent, how) \
	WRITER(region##_child, how)  \
	WRITER(region##_grandchild, how)
#define ROW(region)                                                              \
	{                                                                        \
		w_##region##_parent, w_##region##_child, w_##region##_grandchild \
	}

static inline void store(volatile char *page)
{
	page[64] = (char)(page[64] + 1);
}

/* Part of its caller: whoever knows only what called read(2) knows the writer. */
static inline __attribute__((always_inline)) void read_into(volatile char *page)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, (void *)page, FL_PAGE) != (ssize_t)FL_PAGE)
		fl_die("/dev/zero");
	close(fd);
}

WRITERS(brk, store)
WRITERS(mmap, store)
WRITERS(stack, store)
WRITERS(bss, store)
WRITERS(data, store)
WRITERS(read, read_into)
WRITERS(zero, store)
WRITERS(file, store)
WRITERS(remap, store)
WRITERS(dontfork, store)
WRITERS(drop, store)
WRITERS(thp, store)

typedef void (*writer_fn)(volatile char *page);

static const writer_fn writers[FL_NR_REGIONS][FL_NR_ROLES] = {
	[FL_BRK] = ROW(brk),	       [FL_MMAP] = ROW(mmap), [FL_STACK] = ROW(stack),
	[FL_BSS] = ROW(bss),	       [FL_DATA] = ROW(data), [FL_READ] = ROW(read),
	[FL_ZERO] = ROW(zero),	       [FL_FILE] = ROW(file), [FL_REMAP] = ROW(remap),
	[FL_DONTFORK] = ROW(dontfork), [FL_DROP] = ROW(drop), [FL_THP] = ROW(thp),
};

struct share {
	writer_fn fn;
	volatile char *page;
	uint32_t nr, step, offset;
	pthread_t thread;
};

/*
 * Writes the pages of the stack that the writers will need: a push of theirs may
 * be the first write of a page, and would be taken for one of the region's.
 */
static noinline void stretch_stack(void)
{
	volatile char room[2 * FL_PAGE];

	for (size_t i = 0; i < sizeof(room); i += FL_PAGE)
		room[i] = 1;
}

static void *write_share(void *arg)
{
	const struct share *s = arg;

	stretch_stack();
	for (uint32_t i = s->offset; i < s->nr; i += s->step)
		s->fn(s->page + i * FL_PAGE);
	return NULL;
}

void fl_write(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr)
{
	const struct fl_proc *proc = &fl->procs[p];
	struct share shares[64];
	uint32_t n = fl->nr_threads < nr ? fl->nr_threads : nr;

	if (!proc->start[region] || !nr)
		return;
	fl_model_write(fl, p, region, first, nr, &fl->writers[region][proc->role]);
	for (uint32_t t = 0; t < n; t++) {
		shares[t] = (struct share){
			.fn = writers[region][proc->role],
			.page = (volatile char *)(proc->start[region] + first * FL_PAGE),
			.nr = nr,
			.step = n,
			.offset = t,
		};
		/* The first share is this thread's own, done last. */
		if (t && pthread_create(&shares[t].thread, NULL, write_share, &shares[t]))
			fl_die("pthread_create");
	}
	write_share(&shares[0]);
	for (uint32_t t = 1; t < n; t++)
		pthread_join(shares[t].thread, NULL);
}

/* Reads: maps the file's page or the zero page, never a private one. */
void fl_touch(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr)
{
	volatile char *page = (volatile char *)fl->procs[p].start[region];

	for (uint32_t i = first; i < first + nr; i++)
		(void)page[i * FL_PAGE];
}

static void *addr_of(struct fl *fl, enum fl_proc_id p, int region, uint32_t first)
{
	return (void *)(fl->procs[p].start[region] + first * FL_PAGE);
}

void fl_drop(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr)
{
	fl_model_drop(fl, p, region, first, nr);
	if (madvise(addr_of(fl, p, region, first), nr * FL_PAGE, MADV_DONTNEED))
		fl_die("madvise");
}

void fl_unmap(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr)
{
	fl_model_drop(fl, p, region, first, nr);
	if (munmap(addr_of(fl, p, region, first), nr * FL_PAGE))
		fl_die("munmap");
}

/* A new mapping over pages that are there: a drop without any munmap. */
void fl_map_over(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr)
{
	fl_model_drop(fl, p, region, first, nr);
	if (mmap(addr_of(fl, p, region, first), nr * FL_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		fl_die("mmap");
}

/* Moves a whole region: the same frames at another address. */
void fl_move(struct fl *fl, enum fl_proc_id p, int region)
{
	size_t len = fl->regions[region].pages * FL_PAGE;
	char *hole = mmap(NULL, len + 2 * FL_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *to;

	if (hole == MAP_FAILED)
		fl_die("mmap");
	to = mremap(addr_of(fl, p, region, 0), len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		    hole + FL_PAGE);
	if (to == MAP_FAILED)
		fl_die("mremap");
	fl->procs[p].start[region] = (uintptr_t)to;
}

void fl_keep_from_forks(struct fl *fl, enum fl_proc_id p, int region)
{
	if (madvise(addr_of(fl, p, region, 0), fl->regions[region].pages * FL_PAGE, MADV_DONTFORK))
		fl_die("madvise");
	fl->procs[p].dontfork[region] = true;
}
