/* SPDX-License-Identifier: MIT */
/*
 * Reader of perf map files.  A JIT appends to its map and uses memory again, so
 * entries overlap: the last written one is right.
 *
 * Invariant: entries are sorted by start; none is empty.
 */
#include "symbol/perfmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/procfile.h"

static bool hex_field(char **p, u64 *ret)
{
	char *end;

	if (!((**p >= '0' && **p <= '9') || (**p >= 'a' && **p <= 'f') ||
	      (**p >= 'A' && **p <= 'F')))
		return false;
	errno = 0;
	*ret = strtoull(*p, &end, 16);
	if (errno || *end != ' ')
		return false;
	*p = end + 1;
	return true;
}

static bool line_parse(char *line, struct ct_perfmap_entry *e)
{
	u64 len;

	if (!hex_field(&line, &e->start) || !hex_field(&line, &len) || !*line || !len)
		return false;
	if (__builtin_add_overflow(e->start, len, &e->end))
		return false;
	e->name = line;
	return true;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct ct_perfmap_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

static int text_parse(struct ct_perfmap *m)
{
	char *p = m->text, *nl;
	u32 order = 0;

	m->entries = calloc(count_lines(p) + 1, sizeof(*m->entries));
	if (!m->entries)
		return -ENOMEM;
	for (; (nl = strchr(p, '\n')); p = nl + 1) {
		struct ct_perfmap_entry *e = &m->entries[m->nr];

		*nl = '\0';
		if (!line_parse(p, e))
			continue;
		e->order = order++;
		m->longest = ct_max(m->longest, e->end - e->start);
		m->nr++;
	}
	qsort(m->entries, m->nr, sizeof(*m->entries), entry_cmp);
	return 0;
}

int ct_perfmap_load(const char *path, struct ct_perfmap *ret)
{
	struct ct_perfmap m = { 0 };
	struct ct_textbuf buf = { 0 };
	int r = ct_textbuf_read_path(&buf, path);

	m.text = buf.text;
	if (r == 0)
		r = text_parse(&m);
	if (r < 0) {
		ct_perfmap_fini(&m);
		return r;
	}
	*ret = m;
	return 0;
}

const struct ct_perfmap_entry *ct_perfmap_find(const struct ct_perfmap *m, u64 addr)
{
	const struct ct_perfmap_entry *best = NULL;
	size_t lo = 0, hi = m->nr;

	/* The first entry that starts past addr; those that hold it are before. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->entries[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo-- > 0 && addr - m->entries[lo].start < m->longest) {
		const struct ct_perfmap_entry *e = &m->entries[lo];

		if (addr < e->end && (!best || e->order > best->order))
			best = e;
	}
	return best;
}

void ct_perfmap_fini(struct ct_perfmap *m)
{
	free(m->text);
	free(m->entries);
	*m = (struct ct_perfmap){ 0 };
}
