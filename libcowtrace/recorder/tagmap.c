/* SPDX-License-Identifier: MIT */
/*
 * Tag maps: a sorted array, copied when shared.
 *
 * Invariant: ascending, disjoint, none empty; neighbours that differ in nothing
 * but the time are one (a loop that maps page after page makes one tag), and that
 * has the older time.
 */
#include <errno.h>
#include <string.h>

#include "recorder/tagmap.h"

struct ct_tagmap {
	u32 refs;
	u32 nr, cap;
	u64 version;
	struct ct_tag *v;
};

struct ct_tagmap *ct_tagmap_create(void)
{
	struct ct_tagmap *m = calloc(1, sizeof(*m));

	if (m)
		m->refs = 1;
	return m;
}

struct ct_tagmap *ct_tagmap_ref(struct ct_tagmap *m)
{
	m->refs++;
	return m;
}

void ct_tagmap_unref(struct ct_tagmap *m)
{
	if (!m || --m->refs)
		return;
	free(m->v);
	free(m);
}

u64 ct_tagmap_version(const struct ct_tagmap *m)
{
	return m->version;
}

/* A map of our own with room for `more` tags. */
static int own(struct ct_tagmap **pm, u32 more)
{
	struct ct_tagmap *m = *pm, *copy;
	struct ct_tag *v;
	u32 cap = m->cap ? m->cap : 16;

	while (cap < m->nr + more)
		cap *= 2;
	if (m->refs == 1) {
		if (cap > m->cap) {
			v = realloc(m->v, cap * sizeof(*v));
			if (!v)
				return -ENOMEM;
			m->v = v;
			m->cap = cap;
		}
		m->version++;
		return 0;
	}
	copy = ct_tagmap_create();
	v = malloc(cap * sizeof(*v));
	if (!copy || !v) {
		free(copy);
		free(v);
		return -ENOMEM;
	}
	if (m->nr)
		memcpy(v, m->v, m->nr * sizeof(*v));
	*copy = (struct ct_tagmap){ 1, m->nr, cap, m->version + 1, v };
	m->refs--;
	*pm = copy;
	return 0;
}

/* Index of the first tag that ends after addr. */
static u32 seek(const struct ct_tagmap *m, u64 addr)
{
	u32 lo = 0, hi = m->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (m->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void insert_at(struct ct_tagmap *m, u32 i, const struct ct_tag *tag)
{
	memmove(&m->v[i + 1], &m->v[i], (m->nr - i) * sizeof(*tag));
	m->v[i] = *tag;
	m->nr++;
}

static void split_at(struct ct_tagmap *m, u64 addr)
{
	u32 i = seek(m, addr);
	struct ct_tag tail;

	if (i == m->nr || m->v[i].start >= addr)
		return;
	tail = m->v[i];
	tail.start = addr;
	m->v[i].end = addr;
	insert_at(m, i + 1, &tail);
}

/* Borders at both ends; returns the first index, *ret_nr tags lie between. */
static u32 isolate(struct ct_tagmap *m, u64 start, u64 end, u32 *ret_nr)
{
	u32 first, nr = 0;

	split_at(m, start);
	split_at(m, end);
	first = seek(m, start);
	while (first + nr < m->nr && m->v[first + nr].start < end)
		nr++;
	*ret_nr = nr;
	return first;
}

static void remove_at(struct ct_tagmap *m, u32 i, u32 nr)
{
	memmove(&m->v[i], &m->v[i + nr], (m->nr - i - nr) * sizeof(m->v[0]));
	m->nr -= nr;
}

static bool joins(const struct ct_tag *a, const struct ct_tag *b)
{
	return a->end == b->start && a->site == b->site && a->name == b->name &&
	       a->kind == b->kind && a->thp == b->thp && a->ksm == b->ksm &&
	       a->fork_advice == b->fork_advice && a->mapped == b->mapped && a->named == b->named;
}

/* Says nothing that memory without a tag does not: advice or a name taken back. */
static bool is_blank(const struct ct_tag *t)
{
	return !t->mapped && !t->name && !t->thp && !t->ksm && !t->fork_advice;
}

/* Joins what joins among the tags from `first - 1` to `first + nr`; drops blank ones. */
static void tidy(struct ct_tagmap *m, u32 first, u32 nr)
{
	u32 begin = first ? first - 1 : 0, end = ct_min(first + nr + 1, m->nr), i, out = begin;

	for (i = begin; i < end; i++) {
		if (is_blank(&m->v[i]))
			continue;
		if (out == begin || !joins(&m->v[out - 1], &m->v[i])) {
			m->v[out++] = m->v[i];
			continue;
		}
		m->v[out - 1].end = m->v[i].end;
		m->v[out - 1].t_ns = ct_min(m->v[out - 1].t_ns, m->v[i].t_ns);
	}
	remove_at(m, out, end - out);
}

/* Instead of a split: whatever overlaps the range goes as a whole. */
static int clear_whole(struct ct_tagmap **pm, u64 start, u64 end)
{
	u32 i, nr;

	if (own(pm, 0))
		return -ENOMEM;
	ct_tagmap_find(*pm, start, end, &nr);
	i = seek(*pm, start);
	remove_at(*pm, i, nr);
	return -ENOSPC;
}

int ct_tagmap_clear(struct ct_tagmap **pm, u64 start, u64 end)
{
	u32 i, nr;

	if (start >= end || !ct_tagmap_find(*pm, start, end, &nr))
		return 0;
	if ((*pm)->nr + 2 > CT_TAGS_MAX)
		return clear_whole(pm, start, end);
	if (own(pm, 2))
		return -ENOMEM;
	i = isolate(*pm, start, end, &nr);
	remove_at(*pm, i, nr);
	return 0;
}

int ct_tagmap_set(struct ct_tagmap **pm, const struct ct_tag *tag)
{
	u32 i, nr;

	if (tag->start >= tag->end)
		return 0;
	if ((*pm)->nr + 3 > CT_TAGS_MAX)
		return clear_whole(pm, tag->start, tag->end);
	if (own(pm, 3))
		return -ENOMEM;
	i = isolate(*pm, tag->start, tag->end, &nr);
	remove_at(*pm, i, nr);
	insert_at(*pm, i, tag);
	tidy(*pm, i, 1);
	return 0;
}

int ct_tagmap_move(struct ct_tagmap **pm, u64 from, u64 from_end, u64 to)
{
	ct_auto_free struct ct_tag *moved = NULL;
	u32 i, nr, k;

	if (from >= from_end || from == to)
		return 0;
	if ((*pm)->nr + 4 > CT_TAGS_MAX)
		return clear_whole(pm, from, from_end);
	if (own(pm, 4))
		return -ENOMEM;
	i = isolate(*pm, from, from_end, &nr);
	moved = malloc((nr ? nr : 1) * sizeof(*moved));
	if (!moved)
		return -ENOMEM;
	memcpy(moved, &(*pm)->v[i], nr * sizeof(*moved));
	remove_at(*pm, i, nr);
	/* What lay there is gone, also where nothing with a tag comes. */
	if (ct_tagmap_clear(pm, to, to + (from_end - from)) == -ENOMEM)
		return -ENOMEM;
	for (k = 0; k < nr; k++) {
		moved[k].start = moved[k].start - from + to;
		moved[k].end = moved[k].end - from + to;
		if (ct_tagmap_set(pm, &moved[k]))
			return -ENOMEM;
	}
	return 0;
}

int ct_tagmap_grow(struct ct_tagmap **pm, u64 addr, u64 len)
{
	u32 i = addr ? seek(*pm, addr - 1) : 0;
	struct ct_tag more;

	if (!addr || !len || i == (*pm)->nr || (*pm)->v[i].end != addr)
		return 0;
	more = (*pm)->v[i];
	more.start = addr;
	more.end = addr + len;
	return ct_tagmap_set(pm, &more);
}

int ct_tagmap_change(struct ct_tagmap **pm, u64 start, u64 end,
		     void (*fn)(struct ct_tag *tag, const void *arg), const void *arg)
{
	struct ct_tagmap *m;
	u64 at = start;
	u32 i, nr, gaps, first;

	if (start >= end)
		return 0;
	ct_tagmap_find(*pm, start, end, &nr);
	if ((*pm)->nr + nr + 4 > CT_TAGS_MAX)
		return -ENOSPC;
	if (own(pm, nr + 4))
		return -ENOMEM;
	m = *pm;
	i = first = isolate(m, start, end, &nr);
	gaps = nr + 1;
	while (at < end) {
		if (i < m->nr && m->v[i].start <= at) {
			fn(&m->v[i], arg);
			at = m->v[i++].end;
			continue;
		}
		if (gaps-- == 0)
			return -EINVAL; /* cannot be: more gaps than tags plus one */
		insert_at(m, i,
			  &(struct ct_tag){ .start = at,
					    .end = i < m->nr ? ct_min(m->v[i].start, end) : end });
	}
	tidy(m, first, i - first);
	return 0;
}

const struct ct_tag *ct_tagmap_find(const struct ct_tagmap *m, u64 start, u64 end, u32 *ret_nr)
{
	u32 i = seek(m, start), nr = 0;

	while (i + nr < m->nr && m->v[i + nr].start < end)
		nr++;
	*ret_nr = nr;
	return nr ? &m->v[i] : NULL;
}
