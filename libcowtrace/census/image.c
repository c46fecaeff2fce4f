/* SPDX-License-Identifier: MIT */
/*
 * Images of anonymous memory, in chunks of 2 MiB.
 *
 * A chunk is stored in the smallest of three forms: one base for 512
 * consecutive page frames (a huge page), 32-bit entries (memory below 4 TiB), or
 * 64-bit entries, both without the empty ones at its ends.  16 GiB of scattered
 * 4 KiB pages take 16 MiB; two hundred libraries with a page each next to nothing.
 *
 * Invariant: a chunk in an image has at least one entry that is not NONE, and
 * no chunk is ever changed after ct_image_finish().
 */
#include <errno.h>
#include <string.h>

#include "census/image.h"

enum chunk_form {
	FORM_RUN,
	FORM_32,
	FORM_64,
};

struct ct_chunk {
	u32 refs;
	u16 pages;
	u8 form;
	bool huge;
	struct ct_window win;
	union {
		ct_ent base; /* FORM_RUN: entry i is base + (i << 2) */
		u32 e32[1];  /* entry i is e32[i - win.from] */
		u64 e64[1];
	};
};

static void chunk_unref(struct ct_chunk *c)
{
	if (--c->refs == 0)
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

static ct_ent chunk_get(const struct ct_chunk *c, u32 i)
{
	if (i < c->win.from || i >= c->win.to)
		return CT_ENT_NONE;
	switch (c->form) {
	case FORM_RUN:
		return c->base + ((u64)i << 2);
	case FORM_32:
		return c->e32[i - c->win.from];
	default:
		return c->e64[i - c->win.from];
	}
}

u32 ct_chunk_expand(const struct ct_chunk *c, ct_ent *buf)
{
	const u32 from = c->win.from, nr = c->win.to - from;
	u32 i;

	memset(buf, 0, from * sizeof(*buf));
	memset(buf + c->win.to, 0, (CT_HUGE_PAGES - c->win.to) * sizeof(*buf));
	buf += from;
	if (c->form == FORM_64)
		memcpy(buf, c->e64, nr * sizeof(*buf));
	else if (c->form == FORM_32)
		for (i = 0; i < nr; i++)
			buf[i] = c->e32[i];
	else
		for (i = 0; i < nr; i++)
			buf[i] = c->base + ((u64)i << 2);
	return c->pages;
}

/* What one pass over the entries of a chunk tells. */
struct survey {
	u32 pages, swapped;
	struct ct_window win;
	enum chunk_form form;
};

/* e[from..to) of a whole chunk; what lies outside is NONE. */
static struct survey look_over(const ct_ent *e, u32 from, u32 to)
{
	ct_ent all = 0, differ = 0;
	struct survey s = { 0 };
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
	if (to - from == CT_HUGE_PAGES && !differ && ct_ent_is_page(e[0]))
		s.form = FORM_RUN;
	else
		s.form = all >> 32 ? FORM_64 : FORM_32;
	return s;
}

/* e: the entries of the chunk's window. */
static bool chunk_equals(const struct ct_chunk *c, const ct_ent *e)
{
	const u32 nr = c->win.to - c->win.from;
	u64 differ = 0;
	u32 i;

	if (c->form == FORM_64)
		return !memcmp(c->e64, e, nr * sizeof(*e));
	if (c->form == FORM_RUN) {
		for (i = 0; i < nr; i++)
			differ |= e[i] ^ (c->base + ((u64)i << 2));
		return !differ;
	}
	for (i = 0; i < nr; i++)
		differ |= e[i] ^ c->e32[i];
	return !differ;
}

/* e: the entries of the survey's window. */
static struct ct_chunk *chunk_create(const ct_ent *e, const struct survey *s, bool huge)
{
	const u32 nr = s->win.to - s->win.from;
	size_t len = s->form == FORM_RUN ? sizeof(u64)
					 : nr * (s->form == FORM_32 ? sizeof(u32) : sizeof(u64));
	struct ct_chunk *c = malloc(offsetof(struct ct_chunk, e64) + len);
	u32 i;

	if (!c)
		return NULL;
	c->refs = 1;
	c->pages = (u16)s->pages;
	c->form = (u8)s->form;
	c->huge = huge;
	c->win = s->win;
	if (s->form == FORM_RUN)
		c->base = e[0];
	else if (s->form == FORM_64)
		memcpy(c->e64, e, len);
	else
		for (i = 0; i < nr; i++)
			c->e32[i] = (u32)e[i];
	return c;
}

struct ct_image *ct_image_ref(struct ct_image *img)
{
	img->refs++;
	return img;
}

void ct_image_unref(struct ct_image *img)
{
	u32 i;

	if (!img || --img->refs)
		return;
	for (i = 0; i < img->nr; i++)
		chunk_unref(img->chunks[i]);
	free(img->keys);
	free(img->chunks);
	free(img);
}

u32 ct_image_seek(const struct ct_image *img, u64 key)
{
	u32 lo = 0, hi = img->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (img->keys[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct ct_chunk *find_chunk(const struct ct_image *img, u64 key)
{
	u32 i = ct_image_seek(img, key);

	return i < img->nr && img->keys[i] == key ? img->chunks[i] : NULL;
}

ct_ent ct_image_get(const struct ct_image *img, u64 page)
{
	const struct ct_chunk *c = find_chunk(img, page / CT_HUGE_PAGES);

	return c ? chunk_get(c, (u32)(page % CT_HUGE_PAGES)) : CT_ENT_NONE;
}

bool ct_image_is_huge(const struct ct_image *img, u64 page)
{
	const struct ct_chunk *c = find_chunk(img, page / CT_HUGE_PAGES);

	return c && c->huge;
}

int ct_image_begin(struct ct_image_builder *b, const struct ct_image *base)
{
	b->base = base;
	b->cap = 0;
	b->open = false;
	b->huge = false;
	b->key = 0;
	b->err = 0;
	memset(b->scratch, 0, sizeof(b->scratch));
	b->img = calloc(1, sizeof(*b->img));
	if (!b->img)
		return -ENOMEM;
	b->img->refs = 1;
	return 0;
}

static int grow(struct ct_image_builder *b)
{
	u32 cap = b->cap ? b->cap * 2 : 64;
	struct ct_chunk **chunks;
	u64 *keys;

	keys = realloc(b->img->keys, cap * sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	b->img->keys = keys;
	chunks = realloc(b->img->chunks, cap * sizeof(struct ct_chunk *));
	if (!chunks)
		return -ENOMEM;
	b->img->chunks = chunks;
	b->cap = cap;
	return 0;
}

/* The chunk of the base image, when it says the same as the scratch. */
static struct ct_chunk *same_in_base(const struct ct_image_builder *b, const struct survey *s)
{
	struct ct_chunk *c;
	u32 i;

	if (!b->base)
		return NULL;
	i = ct_image_seek(b->base, b->key);
	if (i == b->base->nr || b->base->keys[i] != b->key)
		return NULL;
	c = b->base->chunks[i];
	if (c->pages != s->pages || c->huge != b->huge || c->win.from != s->win.from ||
	    c->win.to != s->win.to || !chunk_equals(c, b->scratch + s->win.from))
		return NULL;
	c->refs++;
	return c;
}

static int append_chunk(struct ct_image_builder *b, const struct survey *s)
{
	struct ct_image *img = b->img;
	struct ct_chunk *c;

	if (img->nr == b->cap && grow(b))
		return -ENOMEM;
	c = same_in_base(b, s);
	if (!c)
		c = chunk_create(b->scratch + s->win.from, s, b->huge);
	if (!c)
		return -ENOMEM;
	img->keys[img->nr] = b->key;
	img->chunks[img->nr++] = c;
	img->pages += s->pages;
	img->swapped += s->swapped;
	if (b->huge)
		img->huge_pages += s->pages;
	return 0;
}

static void close_chunk(struct ct_image_builder *b)
{
	struct survey s;

	if (!b->open || b->err)
		return;
	b->open = false;
	s = look_over(b->scratch, b->from, b->to);
	if (s.pages)
		b->err = append_chunk(b, &s);
	memset(b->scratch + b->from, 0, (b->to - b->from) * sizeof(b->scratch[0]));
}

ct_ent *ct_image_entries(struct ct_image_builder *b, u64 page, size_t nr, bool huge)
{
	const u64 key = page / CT_HUGE_PAGES;
	const u32 from = (u32)(page % CT_HUGE_PAGES), to = from + (u32)nr;

	if (!b->open || key != b->key) {
		close_chunk(b);
		b->key = key;
		b->open = true;
		b->huge = false;
		b->from = from;
		b->to = to;
	}
	b->huge |= huge;
	b->from = ct_min(b->from, from);
	b->to = ct_max(b->to, to);
	return b->scratch + from;
}

void ct_image_add(struct ct_image_builder *b, u64 page, ct_ent ent, bool huge)
{
	*ct_image_entries(b, page, 1, huge) = ent;
}

int ct_image_finish(struct ct_image_builder *b, struct ct_image **ret_img)
{
	close_chunk(b);
	if (b->err) {
		ct_image_unref(b->img);
		return b->err;
	}
	*ret_img = b->img;
	return 0;
}

/* Takes a chunk of another image over as it is. */
static void adopt(struct ct_image_builder *b, const struct ct_image *img, u32 i)
{
	close_chunk(b);
	if (b->err || (b->img->nr == b->cap && grow(b))) {
		b->err = -ENOMEM;
		return;
	}
	img->chunks[i]->refs++;
	b->img->keys[b->img->nr] = img->keys[i];
	b->img->chunks[b->img->nr++] = img->chunks[i];
	b->img->pages += img->chunks[i]->pages;
	if (img->chunks[i]->huge)
		b->img->huge_pages += img->chunks[i]->pages;
}

static void adopt_patched(struct ct_image_builder *b, const struct ct_chunk *c, u64 key,
			  const struct ct_patch *patch, size_t nr)
{
	ct_ent *e = ct_image_entries(b, key * CT_HUGE_PAGES, CT_HUGE_PAGES, c && c->huge);
	u32 k;

	if (c)
		ct_chunk_expand(c, e);
	/* What is in swap here is counted anew when the chunk is closed. */
	for (k = c ? c->win.from : 0; c && k < c->win.to; k++)
		b->img->swapped -= ct_ent_is_swap(e[k]);
	for (; nr; nr--, patch++)
		e[patch->page % CT_HUGE_PAGES] = patch->ent;
}

int ct_image_patch(struct ct_image *img, const struct ct_patch *patch, size_t nr,
		   struct ct_image **ret_img)
{
	struct ct_image_builder b;
	size_t at = 0, n;
	int err;
	u32 i = 0;

	err = ct_image_begin(&b, NULL);
	if (err)
		goto out;
	b.img->swapped = img->swapped;
	while (i < img->nr || at < nr) {
		u64 key = at < nr ? patch[at].page / CT_HUGE_PAGES : UINT64_MAX;
		const struct ct_chunk *c = NULL;

		if (i < img->nr && img->keys[i] < key) {
			adopt(&b, img, i++);
			continue;
		}
		for (n = 0; at + n < nr && patch[at + n].page / CT_HUGE_PAGES == key;)
			n++;
		if (i < img->nr && img->keys[i] == key)
			c = img->chunks[i++];
		adopt_patched(&b, c, key, patch + at, n);
		at += n;
	}
	err = ct_image_finish(&b, ret_img);
out:
	ct_image_unref(img);
	return err;
}
