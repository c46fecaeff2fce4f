/* SPDX-License-Identifier: MIT */
/* Keys and values, all of them inside one heap, linked by offsets. */
#ifndef KVSNAP_STORE_H
#define KVSNAP_STORE_H

#include <stddef.h>
#include <stdint.h>

/* The heap's first bytes. */
struct store {
	uint64_t nr_keys, used, len;
	uint64_t nr_buckets;
	uint64_t free[64]; /* by size class */
	uint64_t bucket[];
};

struct entry {
	uint64_t next;
	uint32_t key_len, value_len, size; /* size: bytes that it has room for */
	char data[];			   /* key, value */
};

void store_init(struct store *s, size_t len);
/* NULL: there is none. */
const char *store_get(const struct store *s, const char *key, size_t key_len, size_t *ret_len);
/* 0, or -1: the heap is full. */
int store_set(struct store *s, const char *key, size_t key_len, const char *value, size_t len);
/* 1 where there was one. */
int store_del(struct store *s, const char *key, size_t key_len);

#endif
