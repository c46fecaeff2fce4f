/* SPDX-License-Identifier: MIT */
/*
 * An image: which anonymous page lay at each address of a process at one time.
 *
 * Immutable once built, reference-counted, made of chunks of 2 MiB that images
 * share: the image of a process that wrote little costs little beside the one
 * before.  Not thread-safe (the serving thread owns them all).
 */
#ifndef CT_CENSUS_IMAGE_H
#define CT_CENSUS_IMAGE_H

#include "base/base.h"

/*
 * An entry says what one page was.  Two entries are equal exactly when both
 * are the same physical page, or the same place in swap.
 */
typedef u64 ct_ent;

enum {
	CT_ENT_NONE = 0,     /* nothing anonymous here: never touched, zero page, file page */
	CT_ENT_TAG_PAGE = 1, /* low bits: (pfn << 2) | 1 */
	CT_ENT_TAG_SWAP = 2, /* (swap entry << 2) | 2 */
	CT_ENT_TAG_ODD = 3,  /* (what << 2) | 3 */
	CT_ENT_TAG_MASK = 3,
};
/* Shared at the fork, but written by both before it could be read. */
#define CT_ENT_AMBIGUOUS ((1ULL << 2) | CT_ENT_TAG_ODD)
/* Without PFNs: mapped once, mapped more than once (pagemap bit 56). */
#define CT_ENT_EXCLUSIVE ((1ULL << 2) | CT_ENT_TAG_PAGE)
#define CT_ENT_SHARED ((0ULL << 2) | CT_ENT_TAG_PAGE)

static inline ct_ent ct_ent_page(u64 pfn)
{
	return pfn << 2 | CT_ENT_TAG_PAGE;
}

static inline bool ct_ent_is_page(ct_ent e)
{
	return (e & CT_ENT_TAG_MASK) == CT_ENT_TAG_PAGE;
}

static inline bool ct_ent_is_swap(ct_ent e)
{
	return (e & CT_ENT_TAG_MASK) == CT_ENT_TAG_SWAP;
}

static inline u64 ct_ent_pfn(ct_ent e)
{
	return e >> 2;
}

struct ct_chunk;

struct ct_image {
	u32 refs;
	u32 nr;	   /* chunks */
	u64 *keys; /* ascending: address >> CT_HUGE_SHIFT */
	struct ct_chunk **chunks;
	u64 pages;	/* entries that are not NONE */
	u64 huge_pages; /* of these, mapped by a PMD */
	u64 swapped;
};

struct ct_image *ct_image_ref(struct ct_image *img);
/* NULL is fine. */
void ct_image_unref(struct ct_image *img);

/* The entry of a page; NONE outside.  O(log chunks). */
ct_ent ct_image_get(const struct ct_image *img, u64 page);
/* True when the page was mapped by a PMD. */
bool ct_image_is_huge(const struct ct_image *img, u64 page);

/*
 * Expands chunk number i of img into buf[CT_HUGE_PAGES].  Returns the number of
 * entries that are not NONE.
 */
u32 ct_chunk_expand(const struct ct_chunk *c, ct_ent *buf);
u32 ct_chunk_pages(const struct ct_chunk *c);
/*
 * Where its entries that are not NONE lie: [from, to) of the 512.  A library has a
 * page or two in a chunk: loops need not look at the others.
 */
struct ct_window {
	u16 from, to;
};
struct ct_window ct_chunk_window(const struct ct_chunk *c);
bool ct_chunk_is_huge(const struct ct_chunk *c);
/* Index of the first chunk whose key is >= key (img->nr when there is none). */
u32 ct_image_seek(const struct ct_image *img, u64 key);

/*
 * Builds an image from entries in ascending order of address.  Chunks equal to
 * those of `base` (may be NULL) are shared with it.
 */
struct ct_image_builder {
	struct ct_image *img;
	const struct ct_image *base;
	u32 cap;
	u64 key; /* of the chunk under construction */
	bool open, huge;
	int err;
	u32 from, to; /* what has been handed out of the scratch; the rest is NONE */
	ct_ent scratch[CT_HUGE_PAGES];
};

/* 0 or -ENOMEM.  base is borrowed until _finish. */
int ct_image_begin(struct ct_image_builder *b, const struct ct_image *base);
/*
 * Adds one page; `huge` says that a PMD maps it.  A page that was added before
 * in the chunk under construction is replaced.
 */
void ct_image_add(struct ct_image_builder *b, u64 page, ct_ent ent, bool huge);
/*
 * The entries of [page, page + nr), all in one chunk, to be filled in place until
 * the next call; for readers of many pages.  Chunks ascend.
 */
ct_ent *ct_image_entries(struct ct_image_builder *b, u64 page, size_t nr, bool huge);
/* 0 with the image (one reference), or -ENOMEM.  The builder is spent either way. */
int ct_image_finish(struct ct_image_builder *b, struct ct_image **ret_img);

/*
 * A copy of img in which the given pages (ascending) have other entries, NONE
 * included.
 * Takes the caller's reference of img, also on failure.
 */
struct ct_patch {
	u64 page;
	ct_ent ent;
};
int ct_image_patch(struct ct_image *img, const struct ct_patch *patch, size_t nr,
		   struct ct_image **ret_img);

#endif
