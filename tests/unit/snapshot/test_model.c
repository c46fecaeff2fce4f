/* SPDX-License-Identifier: MIT */
/*
 * Random histories of a heap against full copies of it: every way of serving, both
 * page sizes; writes of all sizes and orders, system calls, discards; several
 * snapshots at once, read in parts and whole, by view, checksum and file, compared
 * with each other.  Equal means every byte.
 */
#include "snap_util.h"

#include <sys/mman.h>

#define LEN (3 * MIB)
#define MAX_ALIVE 6
#define STEPS 400

struct model {
	struct cowtrace_heap *h;
	char *base;
	size_t len;
	uint64_t rnd;
	unsigned int nr;
	struct cowtrace_snapshot *snap[MAX_ALIVE];
	char *copy[MAX_ALIVE]; /* the heap as it was */
	bool prepared;	       /* system calls need it */
	int pipe[2], file;
	char *buf;
};

static size_t below(struct model *m, size_t n)
{
	return snap_rnd(&m->rnd) % n;
}

static size_t some_len(struct model *m)
{
	static const size_t max[] = { 16, PAGE, 5 * PAGE, 64 * PAGE, 500 * PAGE };

	return 1 + below(m, max[below(m, 5)]);
}

static void range(struct model *m, size_t *offset, size_t *len)
{
	*len = some_len(m);
	*offset = below(m, m->len - *len);
}

static void write_some(struct model *m)
{
	size_t offset, len;

	range(m, &offset, &len);
	switch (below(m, 4)) {
	case 0:
		memset(m->base + offset, (int)below(m, 256), len);
		break;
	case 1: /* in order, a word a page */
		for (size_t i = 0; i < len; i += PAGE)
			m->base[offset + i]++;
		break;
	case 2: /* backwards */
		for (size_t i = len; i-- > 0; i -= i < PAGE ? i : PAGE - 1)
			m->base[offset + i] ^= 0x55;
		break;
	default: /* from elsewhere in the heap */
		memmove(m->base + offset, m->base + below(m, m->len - len), len);
	}
}

static void scatter(struct model *m)
{
	for (unsigned int i = 0; i < 50; i++)
		m->base[below(m, m->len)] = (char)i;
}

/* The kernel writes into the heap. */
static void system_call(struct model *m)
{
	size_t len = 1 + below(m, 3 * PAGE), offset = below(m, m->len - len);

	for (size_t i = 0; i < len; i++)
		m->buf[i] = (char)snap_rnd(&m->rnd);
	assert_int_equal(write(m->pipe[1], m->buf, len), len);
	if (m->prepared)
		ok(cowtrace_heap_prepare(m->h, m->base + offset, len));
	assert_int_equal(read(m->pipe[0], m->base + offset, len), len);
	assert_memory_equal(m->base + offset, m->buf, len);
}

static void discard(struct model *m)
{
	size_t page = below(m, m->len / PAGE), nr = 1 + below(m, 40);

	if (below(m, 8) == 0)
		nr = 520;
	if (nr > m->len / PAGE - page)
		nr = m->len / PAGE - page;
	ok(cowtrace_heap_discard(m->h, m->base + page * PAGE, nr * PAGE));
	for (size_t i = page * PAGE; i < (page + nr) * PAGE; i++)
		assert_int_equal(m->base[i], 0);
}

static void take(struct model *m)
{
	if (m->nr == MAX_ALIVE)
		return;
	m->snap[m->nr] = snap_take(m->h);
	m->copy[m->nr] = malloc(m->len);
	memcpy(m->copy[m->nr], m->base, m->len);
	m->nr++;
}

static void release(struct model *m)
{
	unsigned int i;

	if (!m->nr)
		return;
	i = (unsigned int)below(m, m->nr);
	cowtrace_snapshot_release(m->snap[i]);
	free(m->copy[i]);
	for (m->nr--; i < m->nr; i++) {
		m->snap[i] = m->snap[i + 1];
		m->copy[i] = m->copy[i + 1];
	}
}

static void read_part(struct model *m, unsigned int i)
{
	size_t offset, len;

	range(m, &offset, &len);
	ok(cowtrace_snapshot_read(m->snap[i], offset, m->buf, len));
	assert_memory_equal(m->buf, m->copy[i] + offset, len);
}

static void view_part(struct model *m, unsigned int i)
{
	const void *view, *again;
	size_t offset, len;

	range(m, &offset, &len);
	ok(cowtrace_snapshot_view(m->snap[i], &view));
	assert_memory_equal((const char *)view + offset, m->copy[i] + offset, len);
	ok(cowtrace_snapshot_view(m->snap[i], &again));
	assert_ptr_equal(view, again);
}

static void to_file(struct model *m, unsigned int i)
{
	struct cowtrace_write_opts o = { .sz = sizeof(o) };
	uint32_t crc = 0, crc2 = 0;
	char *p;

	o.ret_crc = &crc;
	assert_int_equal(lseek(m->file, 3, SEEK_SET), 3);
	ok(cowtrace_snapshot_write_fd(m->snap[i], m->file, &o));
	assert_int_equal(lseek(m->file, 0, SEEK_CUR), 3 + m->len);
	p = mmap(NULL, m->len + 3, PROT_READ, MAP_SHARED, m->file, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p + 3, m->copy[i], m->len);
	munmap(p, m->len + 3);
	ok(cowtrace_snapshot_crc(m->snap[i], &crc2));
	assert_int_equal(crc, crc2);
	assert_int_equal(crc, cowtrace_crc32c(0, m->copy[i], m->len));
}

/* Every run that is listed differs, page by page, and nothing else does. */
static void compare(struct model *m, unsigned int a, unsigned int b)
{
	struct cowtrace_run runs[7];
	size_t offset = 0, next, nr, seen = 0;

	while (offset < m->len) {
		ok(cowtrace_snapshot_diff(m->snap[a], m->snap[b], offset, runs, 7, &nr, &next));
		for (size_t r = 0; r < nr; r++) {
			assert_memory_equal(m->copy[a] + seen, m->copy[b] + seen,
					    runs[r].offset - seen);
			for (seen = runs[r].offset; seen < runs[r].offset + runs[r].len;
			     seen += PAGE)
				assert_true(memcmp(m->copy[a] + seen, m->copy[b] + seen, PAGE));
		}
		offset = next;
	}
	assert_memory_equal(m->copy[a] + seen, m->copy[b] + seen, m->len - seen);
}

/* Since a snapshot: what differs from now is listed, perhaps more. */
static void changed_since(struct model *m, unsigned int a)
{
	struct cowtrace_run runs[16];
	size_t offset = 0, next, nr, seen = 0;

	while (offset < m->len) {
		ok(cowtrace_snapshot_diff(m->snap[a], NULL, offset, runs, 16, &nr, &next));
		for (size_t r = 0; r < nr; r++) {
			assert_memory_equal(m->copy[a] + seen, m->base + seen,
					    runs[r].offset - seen);
			seen = runs[r].offset + runs[r].len;
		}
		offset = next;
	}
	assert_memory_equal(m->copy[a] + seen, m->base + seen, m->len - seen);
}

static void look(struct model *m)
{
	unsigned int i;

	if (!m->nr)
		return;
	i = (unsigned int)below(m, m->nr);
	switch (below(m, 12)) {
	case 0:
		to_file(m, i);
		break;
	case 1:
		changed_since(m, i);
		break;
	case 2:
		if (i)
			compare(m, (unsigned int)below(m, i), i);
		break;
	case 3:
	case 4:
		view_part(m, i);
		break;
	default:
		read_part(m, i);
	}
}

static void step(struct model *m)
{
	size_t what = below(m, 100);

	if (what < 30)
		write_some(m);
	else if (what < 40)
		scatter(m);
	else if (what < 50)
		system_call(m);
	else if (what < 54)
		discard(m);
	else if (what < 64)
		take(m);
	else if (what < 70)
		release(m);
	else
		look(m);
}

static void history(const struct way *way, uint64_t seed)
{
	struct model m = { .rnd = seed * 0x9e3779b97f4a7c15u + 1 };

	m.h = snap_heap(way, LEN + PAGE);
	m.base = cowtrace_heap_base(m.h);
	m.len = cowtrace_heap_len(m.h);
	m.prepared = !snap_stats(m.h).kernel_faults;
	m.buf = malloc(m.len);
	assert_int_equal(pipe(m.pipe), 0);
	m.file = memfd_create("snapshot", 0);
	for (unsigned int i = 0; i < STEPS; i++)
		step(&m);
	/* At the end every one is as it was. */
	for (unsigned int i = 0; i < m.nr; i++) {
		ok(cowtrace_snapshot_read(m.snap[i], 0, m.buf, m.len));
		assert_memory_equal(m.buf, m.copy[i], m.len);
	}
	while (m.nr)
		release(&m);
	assert_int_equal(snap_stats(m.h).saved, 0);
	assert_int_equal(snap_stats(m.h).snapshots, 0);
	cowtrace_heap_destroy(m.h);
	close(m.pipe[0]);
	close(m.pipe[1]);
	close(m.file);
	free(m.buf);
}

static uint64_t nr_seeds;

static void test_histories(void **state)
{
	const struct way *way = *state;

	for (uint64_t seed = 1; seed <= nr_seeds; seed++)
		history(way, seed);
}

/* The number of histories of each way. */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[NR_WAYS];

	nr_seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	for (size_t i = 0; i < NR_WAYS; i++)
		tests[i] = (struct CMUnitTest){ snap_ways[i].name, test_histories, NULL, NULL,
						(void *)&snap_ways[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
