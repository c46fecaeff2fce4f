/* SPDX-License-Identifier: MIT */
/*
 * Chunks: 512 entries, stored in the smallest of four forms: one base for 512
 * consecutive page frames (a huge page); what differs from an older chunk; 32-bit
 * entries (memory below 4 TiB); 64-bit entries.  The last two are without the empty
 * ones at their ends.  16 GiB of scattered 4 KiB pages take 16 MiB, and 3 MiB more for
 * each later image in which every eighth of them was copied; two hundred libraries
 * with a page each take next to nothing.
 *
 * Invariant: a chunk does not change, and one that differs from another refers to one
 * that is whole: there are no chains.
 */
#include <string.h>

#include "census/chunk.h"

enum chunk_form {
	FORM_RUN,
	FORM_DIFF,
	FORM_32,
	FORM_64,
};

#define WORDS (CT_HUGE_PAGES / 64)
/* With more of them a chunk of its own is not much larger, and in small ones it never is. */
#define DIFF_SHARE 4
#define DIFF_WINDOW 64

struct ct_chunk {
	u32 refs;
	u16 pages;
	u8 form;
	bool huge;
	struct ct_window win;
	union {
		ct_ent base; /* FORM_RUN: entry i is base + (i << 2) */
		struct {
			struct ct_chunk *under; /* with the same window, and not FORM_DIFF */
			u64 differs[WORDS];	/* bit i: entry i is the next of rest */
			u32 rest[1];
		} diff;
		u32 e32[1]; /* entry i is e32[i - win.from] */
		u64 e64[1];
	};
};

struct ct_chunk *ct_chunk_ref(struct ct_chunk *c)
{
	c->refs++;
	return c;
}

void ct_chunk_unref(struct ct_chunk *c)
{
	if (--c->refs)
		return;
	if (c->form == FORM_DIFF)
		ct_chunk_unref(c->diff.under);
	free(c);
}

u32 ct_chunk_pages(const struct ct_chunk *c)
{
	return c->pages;
}

bool ct_chunk_is_huge(const struct ct_chunk *c)
{
	return c->huge;
}

struct ct_window ct_chunk_window(const struct ct_chunk *c)
{
	return c->win;
}

static ct_ent diff_get(const struct ct_chunk *c, u32 i)
{
	const u64 bit = 1ULL << (i % 64);
	u32 w, at = 0;

	if (!(c->diff.differs[i / 64] & bit))
		return ct_chunk_get(c->diff.under, i);
	for (w = 0; w < i / 64; w++)
		at += (u32)__builtin_popcountll(c->diff.differs[w]);
	return c->diff.rest[at + (u32)__builtin_popcountll(c->diff.differs[w] & (bit - 1))];
}

ct_ent ct_chunk_get(const struct ct_chunk *c, u32 i)
{
	if (i < c->win.from || i >= c->win.to)
		return CT_ENT_NONE;
	switch ((enum chunk_form)c->form) {
	case FORM_RUN:
		return c->base + ((u64)i << 2);
	case FORM_DIFF:
		return diff_get(c, i);
	case FORM_32:
		return c->e32[i - c->win.from];
	default:
		return c->e64[i - c->win.from];
	}
}

/* Entries of its window, into a whole chunk's. */
static void expand(const struct ct_chunk *c, ct_ent *buf)
{
	const u32 from = c->win.from, nr = c->win.to - from;
	u32 i, w, at = 0;
	u64 left;

	switch ((enum chunk_form)c->form) {
	case FORM_RUN:
		for (i = 0; i < nr; i++)
			buf[from + i] = c->base + ((u64)i << 2);
		break;
	case FORM_DIFF:
		expand(c->diff.under, buf);
		for (w = 0; w < WORDS; w++)
			for (left = c->diff.differs[w]; left; left &= left - 1)
				buf[w * 64 + (u32)__builtin_ctzll(left)] = c->diff.rest[at++];
		break;
	case FORM_32:
		for (i = 0; i < nr; i++)
			buf[from + i] = c->e32[i];
		break;
	case FORM_64:
		memcpy(buf + from, c->e64, nr * sizeof(*buf));
		break;
	}
}

u32 ct_chunk_expand(const struct ct_chunk *c, ct_ent *buf)
{
	memset(buf, 0, c->win.from * sizeof(*buf));
	memset(buf + c->win.to, 0, (CT_HUGE_PAGES - c->win.to) * sizeof(*buf));
	expand(c, buf);
	return c->pages;
}

struct ct_survey ct_chunk_survey(const ct_ent *e, u32 from, u32 to)
{
	ct_ent all = 0, differ = 0;
	struct ct_survey s = { 0 };
	u32 i;

	while (from < to && e[from] == CT_ENT_NONE)
		from++;
	while (from < to && e[to - 1] == CT_ENT_NONE)
		to--;
	for (i = from; i < to; i++) {
		all |= e[i];
		differ |= e[i] ^ (e[from] + ((u64)(i - from) << 2));
		s.pages += e[i] != CT_ENT_NONE;
		s.swapped += ct_ent_is_swap(e[i]);
	}
	s.win = (struct ct_window){ (u16)from, (u16)to };
	s.run = to - from == CT_HUGE_PAGES && !differ && ct_ent_is_page(e[0]);
	s.wide = all >> 32;
	return s;
}

static struct ct_chunk *chunk_alloc(const struct ct_survey *s, enum chunk_form form, bool huge,
				    size_t len)
{
	struct ct_chunk *c = malloc(len);

	if (!c)
		return NULL;
	c->refs = 1;
	c->pages = (u16)s->pages;
	c->form = (u8)form;
	c->huge = huge;
	c->win = s->win;
	return c;
}

static struct ct_chunk *create_whole(const ct_ent *e, const struct ct_survey *s, bool huge)
{
	const u32 nr = s->win.to - s->win.from;
	const enum chunk_form form = s->run ? FORM_RUN : s->wide ? FORM_64 : FORM_32;
	const size_t len = s->run ? sizeof(u64) : nr * (s->wide ? sizeof(u64) : sizeof(u32));
	struct ct_chunk *c = chunk_alloc(s, form, huge, offsetof(struct ct_chunk, e64) + len);
	u32 i;

	if (!c)
		return NULL;
	if (form == FORM_RUN)
		c->base = e[s->win.from];
	else if (form == FORM_64)
		memcpy(c->e64, e + s->win.from, len);
	else
		for (i = 0; i < nr; i++)
			c->e32[i] = (u32)e[s->win.from + i];
	return c;
}

/* Which of the entries in win differ; returns how many. */
static u32 differences(const ct_ent *a, const ct_ent *b, struct ct_window win, u64 ret[WORDS])
{
	u32 i, nr = 0;

	memset(ret, 0, WORDS * sizeof(*ret));
	for (i = win.from; i < win.to; i++)
		ret[i / 64] |= (u64)(a[i] != b[i]) << (i % 64);
	for (i = 0; i < WORDS; i++)
		nr += (u32)__builtin_popcountll(ret[i]);
	return nr;
}

static struct ct_chunk *create_diff(const ct_ent *e, const struct ct_survey *s, bool huge,
				    struct ct_chunk *under, const u64 differs[WORDS], u32 nr)
{
	struct ct_chunk *c = chunk_alloc(s, FORM_DIFF, huge,
					 offsetof(struct ct_chunk, diff.rest) + nr * sizeof(u32));
	u32 w, at = 0;
	u64 left;

	if (!c)
		return NULL;
	c->diff.under = ct_chunk_ref(under);
	memcpy(c->diff.differs, differs, sizeof(c->diff.differs));
	for (w = 0; w < WORDS; w++)
		for (left = differs[w]; left; left &= left - 1)
			c->diff.rest[at++] = (u32)e[w * 64 + (u32)__builtin_ctzll(left)];
	return c;
}

/* Is a difference of nr entries to be kept as such? */
static bool is_small(const struct ct_survey *s, u32 nr)
{
	const u32 window = s->win.to - s->win.from;

	return !s->run && !s->wide && window >= DIFF_WINDOW && nr <= window / DIFF_SHARE;
}

static bool same_window(const struct ct_chunk *c, const struct ct_survey *s)
{
	return c->win.from == s->win.from && c->win.to == s->win.to;
}

struct ct_chunk *ct_chunk_create(const ct_ent *e, const struct ct_survey *s, bool huge,
				 struct ct_chunk *base)
{
	u64 differs[WORDS];
	ct_ent was[CT_HUGE_PAGES];
	u32 nr;

	if (!base || !same_window(base, s))
		return create_whole(e, s, huge);
	expand(base, was);
	if (base->huge == huge &&
	    !memcmp(was + s->win.from, e + s->win.from, (s->win.to - s->win.from) * sizeof(*e)))
		return ct_chunk_ref(base);
	/* Against the same whole one that the base differs from. */
	if (base->form == FORM_DIFF) {
		base = base->diff.under;
		expand(base, was);
	}
	nr = differences(e, was, s->win, differs);
	return is_small(s, nr) ? create_diff(e, s, huge, base, differs, nr)
			       : create_whole(e, s, huge);
}
