/* SPDX-License-Identifier: MIT */
/*
 * Snapshots against fork(), on the same memory, with the same writes, in one run.
 *
 * usage: bench-snapshot [-H] [-c] [GIB]
 *   -H huge pages
 *   -c processor time of all threads, not time: for a machine that others use too
 *
 * Each line: what, ours, theirs, the ratio, and the bar for it.  Only the ratios mean
 * something on a machine that others use.
 */
#include "bench.h"

clockid_t bench_clock = CLOCK_MONOTONIC;

void bench_order(struct bench *b, uint32_t *pages, size_t nr, bool random)
{
	/* Anywhere, but each only once: a stride that is prime to the number of pages. */
	size_t at = rnd(b) % b->nr_pages, stride = random ? 1000003 : 1;

	for (size_t i = 0; i < nr; i++) {
		pages[i] = (uint32_t)at;
		at = (at + stride * (random ? 1 + rnd(b) % 3 : 1)) % b->nr_pages;
	}
}

double bench_writes_us(struct bench *b, const uint32_t *pages, size_t nr)
{
	double t = now_us();

	for (size_t i = 0; i < nr; i++)
		((volatile char *)b->mem)[pages[i] * PAGE + 64]++;
	return (now_us() - t) / (double)nr;
}

void bench_fill(struct bench *b)
{
	if (b->huge) {
		/* What was split is put together again by giving it back. */
		madvise(b->mem, b->len, MADV_DONTNEED);
		madvise(b->mem, b->len, MADV_HUGEPAGE);
	}
	memset(b->mem, 1, b->len);
}

static struct cowtrace_heap *attach(struct bench *b, enum cowtrace_serve serve)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o), .serve = serve };
	struct cowtrace_heap *h = NULL;

	o.pages = b->huge ? COWTRACE_PAGES_HUGE : COWTRACE_PAGES_SMALL;
	need(cowtrace_heap_attach(b->mem, b->len, &o, &h), "attach");
	return h;
}

static struct cowtrace_snapshot *take(struct cowtrace_heap *h, double *ret_us)
{
	struct cowtrace_snapshot *s = NULL;
	double t = now_us();

	need(cowtrace_snapshot_take(h, &s), "take");
	*ret_us = now_us() - t;
	return s;
}

static double hold_us(struct cowtrace_heap *h)
{
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };

	need(cowtrace_heap_stats(h, &st), "stats");
	return (double)st.last_pause_ns / 1e3;
}

static void first_take(struct bench *b, double fork_us)
{
	double call[5], hold[5];

	for (int i = 0; i < 5; i++) {
		struct cowtrace_heap *h;

		bench_fill(b);
		h = attach(b, COWTRACE_SERVE_THREAD);
		cowtrace_snapshot_release(take(h, &call[i]));
		hold[i] = hold_us(h);
		cowtrace_heap_destroy(h);
	}
	line("first take, whole call", median(call, 5), fork_us, "us", b->huge ? 1.0 : 1.25, false);
	line("first take, writers held", median(hold, 5), fork_us, "us", b->huge ? 1.0 : 1.25,
	     false);
}

/* One page in a hundred, in runs of 64 or alone. */
static void take_again(struct bench *b, bool clustered, double fork_us)
{
	size_t nr = b->nr_pages / 100;
	uint32_t *pages = malloc(nr * sizeof(*pages));
	double call[ROUNDS], hold[ROUNDS], bar = clustered ? 1 / 50.0 : 1 / 8.0;
	struct cowtrace_heap *h;
	char what[100];

	bench_fill(b);
	h = attach(b, COWTRACE_SERVE_SIGNAL);
	cowtrace_snapshot_release(take(h, &call[0]));
	for (int i = 0; i < ROUNDS; i++) {
		bench_order(b, pages, nr, !clustered);
		bench_writes_us(b, pages, nr);
		cowtrace_snapshot_release(take(h, &call[i]));
		hold[i] = hold_us(h);
	}
	snprintf(what, sizeof(what), "take again, 1 %% written %s, whole call",
		 clustered ? "clustered" : "at random");
	line(what, median(call, ROUNDS), fork_us, "us", bar, false);
	snprintf(what, sizeof(what), "take again, 1 %% written %s, writers held",
		 clustered ? "clustered" : "at random");
	line(what, median(hold, ROUNDS), fork_us, "us", bar, false);
	cowtrace_heap_destroy(h);
	free(pages);
}

/*
 * The first round is not counted, here as for fork: a virtual machine may have given its
 * free memory back to the host, and getting it again is dearer than all that is measured.
 */
static double first_writes(struct bench *b, enum cowtrace_serve serve, bool random)
{
	size_t nr = serve == COWTRACE_SERVE_SIGNAL ? b->nr_pages / 20 : 10000;
	uint32_t *pages = malloc(nr * sizeof(*pages));
	struct cowtrace_heap *h;
	double t[ROUNDS + 1], us;

	bench_fill(b);
	h = attach(b, serve);
	for (int i = 0; i <= ROUNDS; i++) {
		struct cowtrace_snapshot *s;

		bench_order(b, pages, nr, random);
		s = take(h, &us);
		t[i] = bench_writes_us(b, pages, nr);
		cowtrace_snapshot_release(s);
	}
	cowtrace_heap_destroy(h);
	free(pages);
	return median(t + 1, ROUNDS);
}

static long resident_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char text[200];
	long kib = 0;

	while (f && !kib && fgets(text, sizeof(text), f))
		sscanf(text, "Rss: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

/* A tenth of the heap written during a dump by read, and how much memory that took. */
static void memory(struct bench *b)
{
	size_t nr = b->nr_pages / 10;
	uint32_t *pages = malloc(nr * sizeof(*pages));
	char *buf = malloc(1 << 20);
	struct cowtrace_heap *h;
	struct cowtrace_snapshot *s;
	long before, after;
	double us;

	bench_fill(b);
	h = attach(b, COWTRACE_SERVE_SIGNAL);
	memset(buf, 1, 1 << 20);
	bench_order(b, pages, nr, true);
	before = resident_kib();
	s = take(h, &us);
	bench_writes_us(b, pages, nr);
	for (size_t at = 0; at < b->len; at += 1 << 20)
		need(cowtrace_snapshot_read(s, at, buf, 1 << 20), "read");
	after = resident_kib();
	line("memory during a dump, a tenth of the heap written", (double)(after - before) / 1024,
	     (double)nr * PAGE / 1048576, "MiB", 1.02, false);
	cowtrace_heap_destroy(h);
	free(buf);
	free(pages);
}

static double write_plain(struct bench *b, int fd)
{
	double t = now_us();

	lseek(fd, 0, SEEK_SET);
	for (size_t at = 0; at < b->len; at += 1 << 20)
		if (write(fd, b->mem + at, 1 << 20) != 1 << 20)
			exit(1);
	return now_us() - t;
}

static void write_out(struct bench *b)
{
	int fd = memfd_create("dump", 0);
	double plain[5], ours[5], us;
	struct cowtrace_heap *h;
	struct cowtrace_snapshot *s;

	bench_fill(b);
	h = attach(b, COWTRACE_SERVE_THREAD);
	write_plain(b, fd);
	s = take(h, &us);
	for (int i = 0; i < 5; i++) {
		double t;

		plain[i] = write_plain(b, fd);
		lseek(fd, 0, SEEK_SET);
		t = now_us();
		need(cowtrace_snapshot_write_fd(s, fd, NULL), "write_fd");
		ours[i] = now_us() - t;
	}
	line("write_fd of an unchanged heap, bytes a second",
	     (double)b->len / median(ours, 5) / 1e3, (double)b->len / median(plain, 5) / 1e3,
	     "GB/s", 0.9, true);
	cowtrace_heap_destroy(h);
	close(fd);
}

static void all(struct bench *b)
{
	double fork_us, cow_seq, cow_rnd, bare_rnd;

	bench_fill(b);
	fork_us = bench_fork_us(b);
	cow_seq = bench_cow_us(b, false);
	cow_rnd = bench_cow_us(b, true);
	bare_rnd = bench_bare_us(b, true);
	printf("%zu GiB, %s pages; fork %.0f us, its copy fault %.2f us in order, %.2f at random\n",
	       b->len >> 30, b->huge ? "huge" : "4 KiB", fork_us, cow_seq, cow_rnd);
	printf("%-58s %9s %9s %-5s %7s  %s\n", "", "ours", "theirs", "", "ratio", "bar");
	first_take(b, fork_us);
	take_again(b, true, fork_us);
	take_again(b, false, fork_us);
	line("a first write, signal, in order / fork's copy", first_writes(b, 1, false), cow_seq,
	     "us", 0.5, false);
	line("a first write, signal, at random / fork's copy", first_writes(b, 1, true), cow_rnd,
	     "us", 3, false);
	line("a first write, thread, in order / fork's copy", first_writes(b, 0, false), cow_seq,
	     "us", 1, false);
	line("a first write, thread, at random / bare handler", first_writes(b, 0, true), bare_rnd,
	     "us", 1.2, false);
	memory(b);
	write_out(b);
}

int main(int argc, char **argv)
{
	struct bench b = { .rnd = 88172645463325252u };
	int opt;

	while ((opt = getopt(argc, argv, "Hc")) != -1) {
		if (opt == 'H')
			b.huge = true;
		else if (opt == 'c')
			bench_clock = CLOCK_PROCESS_CPUTIME_ID;
		else
			return 2;
	}
	b.len = (optind < argc ? strtoull(argv[optind], NULL, 10) : 1) << 30;
	b.nr_pages = b.len / PAGE;
	b.mem = mmap(NULL, b.len + (2 << 20), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!b.len || b.mem == MAP_FAILED)
		return 1;
	b.mem = (char *)(((uintptr_t)b.mem + (2 << 20) - 1) & -(2ul << 20));
	madvise(b.mem, b.len, b.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	all(&b);
	return 0;
}
