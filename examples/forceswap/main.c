/* SPDX-License-Identifier: MIT */
/*
 * forceswap [--swap zram|FILE] [PAGES [ROUNDS]]: pageout, read, write, again and
 * again: the pattern that Nadav Amit reported in January 2022 to copy on every
 * write, although nothing is shared.  Each write is observed by its page frame;
 * each page's state just before it is read, and judged by every generation.
 *
 * The counters are the four that David Hildenbrand added to his kernel to look at
 * this pattern.  A kernel does not export them: the running kernel's line counts
 * copies and reuses by page frame, and says why by the state before the write.
 *
 * Invariant: the swap that this makes is gone when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cowtrace/policy.h>

#include "swap.h"

#define PAGE 4096UL
#define PM_PRESENT (1ULL << 63)
#define PM_PFN ((1ULL << 55) - 1)
/* kpageflags: Documentation/admin-guide/mm/pagemap.rst */
#define KPF_LOCKED (1ULL << 0)
#define KPF_LRU (1ULL << 5)
#define KPF_WRITEBACK (1ULL << 8)
#define KPF_SWAPCACHE (1ULL << 13)
#define KPF_OWNER_2 (1ULL << 34) /* of an anonymous page: exclusive, from 5.19 */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

struct counters {
	unsigned long copy, copy_early, copy_lock, reuse;
};

struct forceswap {
	int pagemap, flags, counts;
	struct counters kernel;
	struct counters model[COWTRACE_NR_MODELS];
	unsigned long not_swapped;
};

static struct swap swap_dev;

static void on_signal(int sig)
{
	swap_end(&swap_dev);
	_exit(128 + sig);
}

static uint64_t number_at(int fd, uint64_t index)
{
	uint64_t v = 0;

	if (pread(fd, &v, sizeof(v), index * sizeof(v)) != sizeof(v))
		return 0;
	return v;
}

/* What can be read of a page; its references cannot. */
static void read_state(struct forceswap *f, uint64_t pfn, struct cowtrace_page_state *st)
{
	uint64_t flags = number_at(f->flags, pfn);

	cowtrace_page_state_init(st);
	st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_REFCOUNT);
	st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_SWAPCOUNT);
	st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_LRU_LOCAL);
	st->mapcount = st->max_mapcount = number_at(f->counts, pfn);
	cowtrace_page_state_set(st, COWTRACE_FIELD_LOCKED, !!(flags & KPF_LOCKED));
	cowtrace_page_state_set(st, COWTRACE_FIELD_LRU, !!(flags & KPF_LRU));
	cowtrace_page_state_set(st, COWTRACE_FIELD_SWAPCACHE, !!(flags & KPF_SWAPCACHE));
	cowtrace_page_state_set(st, COWTRACE_FIELD_WRITEBACK,
				(flags & KPF_WRITEBACK) && (flags & KPF_SWAPCACHE));
	/* A generation without the mark does not look at it; this kernel's may have it. */
	cowtrace_page_state_set(st, COWTRACE_FIELD_EXCLUSIVE, !!(flags & KPF_OWNER_2));
	/*
	 * An LRU batch holds a reference, the swap cache another: say so, rather than
	 * have every verdict depend on it.
	 */
	cowtrace_page_state_set(st, COWTRACE_FIELD_REFCOUNT,
				st->mapcount + !!(flags & KPF_SWAPCACHE) + !(flags & KPF_LRU));
}

static void count(struct counters *c, bool copied, enum cowtrace_reason why)
{
	c->reuse += !copied;
	c->copy += copied;
	c->copy_lock += copied && why == COWTRACE_REASON_TRYLOCK_FAILED;
	c->copy_early +=
		copied &&
		(why == COWTRACE_REASON_EARLY_REFCOUNT || why == COWTRACE_REASON_SWAPCACHE_REF ||
		 why == COWTRACE_REASON_LRU_CACHE_REF || why == COWTRACE_REASON_MAPCOUNT_SHARED ||
		 why == COWTRACE_REASON_PIN_OR_TRANSIENT_REF);
}

/*
 * By the generations, from one state.  Those before 5.19 have no mark, and their
 * page would not be one that was swapped in as exclusive: the mark is not theirs.
 */
static void judge_all(struct forceswap *f, const struct cowtrace_page_state *st,
		      enum cowtrace_reason *why)
{
	for (unsigned int m = 0; m < COWTRACE_NR_MODELS; m++) {
		struct cowtrace_verdict v;

		if (cowtrace_policy_judge(m, st, &v))
			continue;
		count(&f->model[m], v.likely == COWTRACE_COPY, v.likely_reason);
		why[m] = v.likely_reason;
	}
}

static void write_page(struct forceswap *f, volatile char *at)
{
	uint64_t before = number_at(f->pagemap, (uintptr_t)at / PAGE), after;
	enum cowtrace_reason why[COWTRACE_NR_MODELS] = { 0 };
	struct cowtrace_page_state st;

	if (!(before & PM_PRESENT) || !(before & PM_PFN))
		return;
	read_state(f, before & PM_PFN, &st);
	judge_all(f, &st, why);
	(*at)++;
	after = number_at(f->pagemap, (uintptr_t)at / PAGE);
	/* G3's reasons name what a kernel that copies has seen. */
	count(&f->kernel, (before & PM_PFN) != (after & PM_PFN), why[COWTRACE_MODEL_G3]);
}

static void run(struct forceswap *f, volatile char *at, unsigned long pages, unsigned long rounds)
{
	memset((char *)at, 1, pages * PAGE);
	for (unsigned long r = 0; r < rounds; r++) {
		madvise((char *)at, pages * PAGE, MADV_PAGEOUT);
		for (unsigned long i = 0; i < pages; i++) {
			uint64_t e = number_at(f->pagemap, (uintptr_t)(at + i * PAGE) / PAGE);

			f->not_swapped += !!(e & PM_PRESENT);
			(void)at[i * PAGE];
			write_page(f, at + i * PAGE);
		}
	}
}

static void print(const char *name, const struct counters *c)
{
	printf("%-10s anon_wp_copy_count %-8lu anon_wp_copy_count_early %-8lu "
	       "anon_wp_copy_lock %-8lu anon_wp_reuse %lu\n",
	       name, c->copy, c->copy_early, c->copy_lock, c->reuse);
}

static int usage(void)
{
	fprintf(stderr, "usage: forceswap [--swap zram|FILE] [PAGES [ROUNDS]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct forceswap f = { .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
			       .flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC),
			       .counts = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC) };
	const char *where = "zram";
	unsigned long pages, rounds;
	int rc, i = 1;
	char *at;

	if (argc > 2 && !strcmp(argv[1], "--swap")) {
		where = argv[2];
		i = 3;
	}
	pages = i < argc ? strtoul(argv[i++], NULL, 10) : 2;
	rounds = i < argc ? strtoul(argv[i++], NULL, 10) : 1000;
	if (i < argc || !pages || pages > 4096 || !rounds)
		return usage();
	if (geteuid() || f.flags < 0 || f.counts < 0) {
		fprintf(stderr, "forceswap: swap and page frames are root's: skipped\n");
		return 77;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	rc = swap_begin(&swap_dev, where);
	if (rc) {
		fprintf(stderr, "forceswap: no swap on %s: %s: skipped\n", where, strerror(-rc));
		return 77;
	}
	at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at != MAP_FAILED) {
		madvise(at, pages * PAGE, MADV_NOHUGEPAGE);
		run(&f, at, pages, rounds);
	}
	swap_end(&swap_dev);
	print("kernel", &f.kernel);
	for (unsigned int m = 0; m < COWTRACE_NR_MODELS; m++)
		print(cowtrace_model_get(m)->name, &f.model[m]);
	if (f.not_swapped)
		printf("%lu pages were not swapped out\n", f.not_swapped);
	return f.kernel.copy + f.kernel.reuse ? 0 : 1;
}
