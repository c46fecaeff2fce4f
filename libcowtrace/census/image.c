/* SPDX-License-Identifier: MIT */
/*
 * Images of anonymous memory, in chunks of 2 MiB.
 *
 * A chunk is stored in the smallest of three forms: one base for 512
 * consecutive page frames (a huge page), 32-bit entries (memory below 4 TiB), or
 * 64-bit entries.  16 GiB of scattered 4 KiB pages take 16 MiB.
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
	union {
		ct_ent base; /* FORM_RUN: entry i is base + (i << 2) */
		u32 e32[1];
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

static ct_ent chunk_get(const struct ct_chunk *c, u32 i)
{
	switch (c->form) {
	case FORM_RUN:
		return c->base + ((u64)i << 2);
	case FORM_32:
		return c->e32[i];
	default:
		return c->e64[i];
	}
}

u32 ct_chunk_expand(const struct ct_chunk *c, ct_ent *buf)
{
	u32 i;

	if (c->form == FORM_64) {
		memcpy(buf, c->e64, CT_HUGE_PAGES * sizeof(*buf));
		return c->pages;
	}
	if (c->form == FORM_32) {
		for (i = 0; i < CT_HUGE_PAGES; i++)
			buf[i] = c->e32[i];
		return c->pages;
	}
	for (i = 0; i < CT_HUGE_PAGES; i++)
		buf[i] = c->base + ((u64)i << 2);
	return c->pages;
}

/* What one pass over 512 entries tells. */
struct survey {
	u32 pages, swapped;
	enum chunk_form form;
};

static struct survey look_over(const ct_ent *e)
{
	ct_ent all = 0, differ = 0;
	struct survey s = { 0 };
	u32 i;

	for (i = 0; i < CT_HUGE_PAGES; i++) {
		all |= e[i];
		differ |= e[i] ^ (e[0] + ((u64)i << 2));
		s.pages += e[i] != CT_ENT_NONE;
		s.swapped += ct_ent_is_swap(e[i]);
	}
	if (!differ && ct_ent_is_page(e[0]))
		s.form = FORM_RUN;
	else
		s.form = all >> 32 ? FORM_64 : FORM_32;
	return s;
}

static bool chunk_equals(const struct ct_chunk *c, const ct_ent *e)
{
	u64 differ = 0;
	u32 i;

	if (c->form == FORM_64)
		return !memcmp(c->e64, e, CT_HUGE_PAGES * sizeof(*e));
	if (c->form == FORM_RUN) {
		for (i = 0; i < CT_HUGE_PAGES; i++)
			differ |= e[i] ^ (c->base + ((u64)i << 2));
		return !differ;
	}
	for (i = 0; i < CT_HUGE_PAGES; i++)
		differ |= e[i] ^ c->e32[i];
	return !differ;
}

static struct ct_chunk *chunk_create(const ct_ent *e, const struct survey *s, bool huge)
{
	size_t len = s->form == FORM_RUN
			     ? sizeof(u64)
			     : CT_HUGE_PAGES * (s->form == FORM_32 ? sizeof(u32) : sizeof(u64));
	struct ct_chunk *c = malloc(offsetof(struct ct_chunk, e64) + len);
	u32 i;

	if (!c)
		return NULL;
	c->refs = 1;
	c->pages = (u16)s->pages;
	c->form = (u8)s->form;
	c->huge = huge;
	if (s->form == FORM_RUN)
		c->base = e[0];
	else if (s->form == FORM_64)
		memcpy(c->e64, e, len);
	else
		for (i = 0; i < CT_HUGE_PAGES; i++)
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
static struct ct_chunk *same_in_base(struct ct_image_builder *b, u32 pages)
{
	struct ct_chunk *c;
	u32 i;

	if (!b->base)
		return NULL;
	i = ct_image_seek(b->base, b->key);
	if (i == b->base->nr || b->base->keys[i] != b->key)
		return NULL;
	c = b->base->chunks[i];
	return c->pages == pages && c->huge == b->huge && chunk_equals(c, b->scratch) ? c : NULL;
}

static void close_chunk(struct ct_image_builder *b)
{
	struct ct_image *img = b->img;
	struct ct_chunk *c;
	struct survey s;

	if (!b->open || b->err)
		return;
	b->open = false;
	s = look_over(b->scratch);
	if (!s.pages)
		return;
	if (img->nr == b->cap && grow(b)) {
		b->err = -ENOMEM;
		return;
	}
	c = same_in_base(b, s.pages);
	if (c)
		c->refs++;
	else
		c = chunk_create(b->scratch, &s, b->huge);
	if (!c) {
		b->err = -ENOMEM;
		return;
	}
	img->keys[img->nr] = b->key;
	img->chunks[img->nr++] = c;
	img->pages += s.pages;
	img->swapped += s.swapped;
	if (b->huge)
		img->huge_pages += s.pages;
}

ct_ent *ct_image_chunk(struct ct_image_builder *b, u64 key, bool huge)
{
	if (!b->open || key != b->key) {
		close_chunk(b);
		memset(b->scratch, 0, sizeof(b->scratch));
		b->key = key;
		b->open = true;
		b->huge = false;
	}
	b->huge |= huge;
	return b->scratch;
}

void ct_image_add(struct ct_image_builder *b, u64 page, ct_ent ent, bool huge)
{
	ct_image_chunk(b, page / CT_HUGE_PAGES, huge)[page % CT_HUGE_PAGES] = ent;
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
	u64 first = key * CT_HUGE_PAGES;
	ct_ent e[CT_HUGE_PAGES] = { 0 };
	u32 k;

	if (c)
		ct_chunk_expand(c, e);
	/* What is in swap here is counted anew when the chunk is closed. */
	for (k = 0; c && k < CT_HUGE_PAGES; k++)
		b->img->swapped -= ct_ent_is_swap(e[k]);
	for (; nr; nr--, patch++)
		e[patch->page - first] = patch->ent;
	for (k = 0; k < CT_HUGE_PAGES; k++)
		if (e[k] != CT_ENT_NONE)
			ct_image_add(b, first + k, e[k], c && c->huge);
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
