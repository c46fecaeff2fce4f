/* SPDX-License-Identifier: MIT */
/*
 * A set of pages: one bit each, and above them one bit for each word that is not
 * zero, so that a sparse set is walked in its own size.  Setting is atomic; walking
 * and clearing are for whoever keeps the setters out.
 */
#ifndef CT_SNAPSHOT_BITS_H
#define CT_SNAPSHOT_BITS_H

#include <stdatomic.h>

#include "base/base.h"

struct ct_snap_bits {
	_Atomic u64 *word;
	_Atomic u64 *summary;
	u64 nr; /* bits */
};

static inline u64 ct_snap_bits_words(u64 nr)
{
	return (nr + 63) / 64;
}

/* Bytes that the set needs: the words, then the summary. */
static inline size_t ct_snap_bits_len(u64 nr)
{
	u64 words = ct_snap_bits_words(nr);

	return (words + ct_snap_bits_words(words)) * sizeof(u64);
}

/* @mem: zeroed, ct_snap_bits_len(nr) bytes. */
static inline void ct_snap_bits_init(struct ct_snap_bits *b, void *mem, u64 nr)
{
	b->word = mem;
	b->summary = b->word + ct_snap_bits_words(nr);
	b->nr = nr;
}

static inline bool ct_snap_bits_test(const struct ct_snap_bits *b, u64 bit)
{
	return atomic_load_explicit(&b->word[bit / 64], memory_order_acquire) >> (bit % 64) & 1;
}

/* The bits [from, to) that lie in the word of from. */
static inline u64 ct_snap_bits_mask(u64 from, u64 to)
{
	u64 mask = ~0ULL << (from % 64);

	if (to < (from | 63) + 1)
		mask &= (1ULL << (to % 64)) - 1;
	return mask;
}

/* Sets [from, to). */
static inline void ct_snap_bits_set(struct ct_snap_bits *b, u64 from, u64 to)
{
	while (from < to) {
		u64 w = from / 64, next = (from | 63) + 1;

		atomic_fetch_or_explicit(&b->word[w], ct_snap_bits_mask(from, to),
					 memory_order_release);
		atomic_fetch_or_explicit(&b->summary[w / 64], 1ULL << (w % 64),
					 memory_order_release);
		from = next;
	}
}

static inline void ct_snap_bits_clear(struct ct_snap_bits *b, u64 from, u64 to)
{
	while (from < to) {
		u64 next = (from | 63) + 1;

		/* The summary may say more than there is, never less. */
		atomic_fetch_and_explicit(&b->word[from / 64], ~ct_snap_bits_mask(from, to),
					  memory_order_release);
		from = next;
	}
}

/* The first bit at or after from that is set, or to. */
static inline u64 ct_snap_bits_next(struct ct_snap_bits *b, u64 from, u64 to)
{
	while (from < to) {
		u64 w = from / 64;
		u64 v = atomic_load_explicit(&b->word[w], memory_order_acquire) >> (from % 64);
		u64 s;

		if (v)
			return ct_min(from + (u64)__builtin_ctzll(v), to);
		/* On to the next word that may have one. */
		w++;
		s = w % 64 ? atomic_load_explicit(&b->summary[w / 64], memory_order_acquire) >>
				     (w % 64)
			   : 0;
		if (s) {
			from = (w + (u64)__builtin_ctzll(s)) * 64;
			continue;
		}
		w = w % 64 ? (w / 64 + 1) * 64 : w;
		while (w * 64 < to) {
			s = atomic_load_explicit(&b->summary[w / 64], memory_order_acquire);
			if (s)
				break;
			w += 64;
		}
		from = w * 64 < to ? (w + (u64)__builtin_ctzll(s)) * 64 : to;
	}
	return to;
}

/* The first bit at or after from that is clear, or to. */
static inline u64 ct_snap_bits_next_clear(const struct ct_snap_bits *b, u64 from, u64 to)
{
	while (from < to) {
		u64 v = ~atomic_load_explicit(&b->word[from / 64], memory_order_acquire) >>
			(from % 64);

		if (v)
			return ct_min(from + (u64)__builtin_ctzll(v), to);
		from = (from | 63) + 1;
	}
	return to;
}

/* How many are set. */
static inline u64 ct_snap_bits_count(const struct ct_snap_bits *b)
{
	u64 n = 0;

	for (u64 i = 0; i < ct_snap_bits_words(b->nr); i++)
		n += (u64)__builtin_popcountll(
			atomic_load_explicit(&b->word[i], memory_order_relaxed));
	return n;
}

#endif
