/* SPDX-License-Identifier: MIT */
/* Interned strings: a list by id, and an open-addressing hash of ids. */
#include <string.h>

#include "recorder/names.h"

struct ct_names {
	char **v;
	u32 *hash; /* ids; 0: empty */
	u32 nr, cap;
};

struct ct_names *ct_names_create(void)
{
	return calloc(1, sizeof(struct ct_names));
}

void ct_names_destroy(struct ct_names *n)
{
	u32 i;

	if (!n)
		return;
	for (i = 0; i < n->nr; i++)
		free(n->v[i]);
	free(n->v);
	free(n->hash);
	free(n);
}

const char *ct_names_get(const struct ct_names *n, u32 id)
{
	return id && id <= n->nr ? n->v[id - 1] : "";
}

static u32 hash_string(const char *s)
{
	u32 h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (u8)*s) * 16777619u;
	return h;
}

static u32 *find(const struct ct_names *n, u32 *hash, u32 cap, const char *s)
{
	u32 i = hash_string(s) & (cap - 1);

	while (hash[i] && strcmp(n->v[hash[i] - 1], s))
		i = (i + 1) & (cap - 1);
	return &hash[i];
}

static bool grow(struct ct_names *n)
{
	u32 i, cap = n->cap ? n->cap * 2 : 128;
	char **v = realloc(n->v, cap * sizeof(*v));
	u32 *hash = calloc(cap, sizeof(*hash));

	if (v)
		n->v = v;
	if (!v || !hash) {
		free(hash);
		return false;
	}
	for (i = 0; i < n->nr; i++)
		*find(n, hash, cap, n->v[i]) = i + 1;
	free(n->hash);
	n->hash = hash;
	n->cap = cap;
	return true;
}

u32 ct_names_id(struct ct_names *n, const char *s)
{
	u32 *at;

	if (!s[0] || (n->nr * 2 >= n->cap && !grow(n)))
		return 0;
	at = find(n, n->hash, n->cap, s);
	if (!*at) {
		char *copy = n->nr < CT_NAMES_MAX ? strdup(s) : NULL;

		if (!copy)
			return 0;
		n->v[n->nr] = copy;
		*at = ++n->nr;
	}
	return *at;
}
