/* SPDX-License-Identifier: MIT */
/*
 * An open-addressing map from 64-bit keys to dense numbers.  Nothing is ever
 * taken out of it.
 *
 * Invariant: at most half of the places are in use, so that a search ends.
 */
#include <errno.h>

#include "report/u64map.h"

#define FIRST_CAP 1024

static u32 place_of(const struct ct_u64map *m, u64 key)
{
	u64 h = key * 0x9e3779b97f4a7c15ULL;
	u32 i = (u32)(h >> 32) & (m->cap - 1);

	while (m->numbers[i] && m->keys[i] != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

static int grow(struct ct_u64map *m)
{
	struct ct_u64map big = { .cap = m->cap ? 2 * m->cap : FIRST_CAP, .nr = m->nr };

	big.keys = malloc(big.cap * sizeof(*big.keys));
	big.numbers = calloc(big.cap, sizeof(*big.numbers));
	if (!big.keys || !big.numbers) {
		ct_u64map_fini(&big);
		return -ENOMEM;
	}
	for (u32 i = 0; i < m->cap; i++) {
		u32 to;

		if (!m->numbers[i])
			continue;
		to = place_of(&big, m->keys[i]);
		big.keys[to] = m->keys[i];
		big.numbers[to] = m->numbers[i];
	}
	ct_u64map_fini(m);
	*m = big;
	return 0;
}

int ct_u64map_get(struct ct_u64map *m, u64 key, u32 *ret_number)
{
	u32 i;

	if (m->nr * 2 >= m->cap && grow(m))
		return -ENOMEM;
	i = place_of(m, key);
	if (!m->numbers[i]) {
		m->keys[i] = key;
		m->numbers[i] = ++m->nr;
	}
	*ret_number = m->numbers[i] - 1;
	return 0;
}

u64 *ct_u64map_keys(const struct ct_u64map *m)
{
	u64 *keys = malloc((m->nr + !m->nr) * sizeof(*keys));

	for (u32 i = 0; keys && i < m->cap; i++)
		if (m->numbers[i])
			keys[m->numbers[i] - 1] = m->keys[i];
	return keys;
}

void ct_u64map_fini(struct ct_u64map *m)
{
	free(m->keys);
	free(m->numbers);
	*m = (struct ct_u64map){ .keys = NULL };
}
