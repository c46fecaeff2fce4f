/* SPDX-License-Identifier: MIT */
/* A hash table with chains; entries in size classes, freed ones kept for their class. */
#include <string.h>

#include "store.h"

static void *at(const struct store *s, uint64_t offset)
{
	return offset ? (char *)s + offset : NULL;
}

void store_init(struct store *s, size_t len)
{
	s->len = len;
	s->nr_buckets = len / 512;
	s->used = (sizeof(*s) + s->nr_buckets * sizeof(uint64_t) + 63) & ~63ul;
}

static uint64_t *bucket_of(const struct store *s, const char *key, size_t len)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * 1099511628211u;
	return (uint64_t *)&s->bucket[(h ^ h >> 32) % s->nr_buckets];
}

/* The link to the entry of this key, or the one at the chain's end. */
static uint64_t *find(const struct store *s, const char *key, size_t len)
{
	uint64_t *link = bucket_of(s, key, len);

	while (*link) {
		struct entry *e = at(s, *link);

		if (e->key_len == len && !memcmp(e->data, key, len))
			break;
		link = &e->next;
	}
	return link;
}

static unsigned int class_of(uint64_t size)
{
	unsigned int c = 6;

	while (1ull << c < size)
		c++;
	return c;
}

static uint64_t allocate(struct store *s, uint64_t size)
{
	unsigned int c = class_of(size);
	uint64_t offset = s->free[c];
	struct entry *e;

	if (offset) {
		e = at(s, offset);
		s->free[c] = e->next;
	} else {
		offset = s->used;
		if (s->len - offset < 1ull << c)
			return 0;
		s->used += 1ull << c;
		e = at(s, offset);
	}
	e->size = 1u << c;
	e->next = 0;
	return offset;
}

const char *store_get(const struct store *s, const char *key, size_t key_len, size_t *ret_len)
{
	struct entry *e = at(s, *find(s, key, key_len));

	if (!e)
		return NULL;
	*ret_len = e->value_len;
	return e->data + e->key_len;
}

int store_set(struct store *s, const char *key, size_t key_len, const char *value, size_t len)
{
	uint64_t need = sizeof(struct entry) + key_len + len, *link, offset;
	struct entry *e;

	if (need > 1u << 30)
		return -1;
	link = find(s, key, key_len);
	e = at(s, *link);
	if (e && e->size < need) {
		store_del(s, key, key_len);
		link = find(s, key, key_len);
		e = NULL;
	}
	if (!e) {
		offset = allocate(s, need);
		if (!offset)
			return -1;
		e = at(s, offset);
		e->key_len = (uint32_t)key_len;
		memcpy(e->data, key, key_len);
		*link = offset;
		s->nr_keys++;
	}
	e->value_len = (uint32_t)len;
	memcpy(e->data + key_len, value, len);
	return 0;
}

int store_del(struct store *s, const char *key, size_t key_len)
{
	uint64_t *link = find(s, key, key_len), offset = *link;
	struct entry *e = at(s, offset);
	unsigned int c;

	if (!e)
		return 0;
	c = class_of(e->size);
	*link = e->next;
	e->next = s->free[c];
	s->free[c] = offset;
	s->nr_keys--;
	return 1;
}
