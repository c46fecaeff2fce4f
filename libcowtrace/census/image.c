/* SPDX-License-Identifier: MIT */
/*
 * Images of anonymous memory, in chunks of 2 MiB (chunk.c).
 *
 * Invariant: a chunk in an image has at least one entry that is not NONE, and
 * no chunk is ever changed after ct_image_finish().
 */
#include <errno.h>
#include <string.h>

#include "census/chunk.h"
#include "census/image.h"

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
		ct_chunk_unref(img->chunks[i]);
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

	return c ? ct_chunk_get(c, (u32)(page % CT_HUGE_PAGES)) : CT_ENT_NONE;
}

bool ct_image_is_huge(const struct ct_image *img, u64 page)
{
	const struct ct_chunk *c = find_chunk(img, page / CT_HUGE_PAGES);

	return c && ct_chunk_is_huge(c);
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

/* The chunk of the base image with the same key; NULL: none. */
static struct ct_chunk *in_base(const struct ct_image_builder *b)
{
	u32 i = b->base ? ct_image_seek(b->base, b->key) : 0;

	return b->base && i < b->base->nr && b->base->keys[i] == b->key ? b->base->chunks[i] : NULL;
}

static int append_chunk(struct ct_image_builder *b, const struct ct_survey *s)
{
	struct ct_image *img = b->img;
	struct ct_chunk *c;

	if (img->nr == b->cap && grow(b))
		return -ENOMEM;
	c = ct_chunk_create(b->scratch, s, b->huge, in_base(b));
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
	struct ct_survey s;

	if (!b->open || b->err)
		return;
	b->open = false;
	s = ct_chunk_survey(b->scratch, b->from, b->to);
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
	b->img->keys[b->img->nr] = img->keys[i];
	b->img->chunks[b->img->nr++] = ct_chunk_ref(img->chunks[i]);
	b->img->pages += ct_chunk_pages(img->chunks[i]);
	if (ct_chunk_is_huge(img->chunks[i]))
		b->img->huge_pages += ct_chunk_pages(img->chunks[i]);
}

static void adopt_patched(struct ct_image_builder *b, const struct ct_chunk *c, u64 key,
			  const struct ct_patch *patch, size_t nr)
{
	ct_ent *e =
		ct_image_entries(b, key * CT_HUGE_PAGES, CT_HUGE_PAGES, c && ct_chunk_is_huge(c));
	const struct ct_window win = c ? ct_chunk_window(c) : (struct ct_window){ 0 };
	u32 k;

	if (c)
		ct_chunk_expand(c, e);
	/* What is in swap here is counted anew when the chunk is closed. */
	for (k = win.from; k < win.to; k++)
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

	err = ct_image_begin(&b, img);
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
