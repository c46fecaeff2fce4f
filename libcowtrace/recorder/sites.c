/* SPDX-License-Identifier: MIT */
/*
 * The site table: an open-addressing hash over the frames themselves, so that a
 * call site is one row however many processes and address layouts run it.
 */
#include <string.h>

#include "channel/segment.h"
#include "recorder/sites.h"

struct site {
	u64 hash;
	u32 id; /* 0: empty */
	u32 nr;
	u32 file; /* of the trace, that was told of it last */
	struct ct_rec_frame *frames;
};

struct ct_sites {
	struct ct_outbox *out;
	struct ct_modules *modules;
	u32 file;
	struct site *v;
	u32 *by_id; /* index into v of id - 1 */
	u32 nr, cap;
};

struct ct_sites *ct_sites_create(struct ct_outbox *out, struct ct_modules *modules)
{
	struct ct_sites *s = calloc(1, sizeof(*s));

	if (s) {
		s->out = out;
		s->modules = modules;
	}
	return s;
}

void ct_sites_destroy(struct ct_sites *s)
{
	u32 i;

	if (!s)
		return;
	for (i = 0; i < s->cap; i++)
		free(s->v[i].frames);
	free(s->v);
	free(s->by_id);
	free(s);
}

/* FNV-1a over the frames' words. */
static u64 hash_frames(const struct ct_rec_frame *f, u32 nr)
{
	u64 h = 0xcbf29ce484222325ULL;
	u32 i;

	for (i = 0; i < nr; i++) {
		h = (h ^ f[i].module) * 0x100000001b3ULL;
		h = (h ^ f[i].offset) * 0x100000001b3ULL;
		h ^= h >> 29;
	}
	return h ? h : 1;
}

static bool same(const struct site *s, u64 hash, const struct ct_rec_frame *f, u32 nr)
{
	u32 i;

	if (s->hash != hash || s->nr != nr)
		return false;
	for (i = 0; i < nr; i++)
		if (s->frames[i].module != f[i].module || s->frames[i].offset != f[i].offset)
			return false;
	return true;
}

static struct site *find(struct site *v, u32 cap, u64 hash, const struct ct_rec_frame *f, u32 nr)
{
	u32 i = (u32)hash & (cap - 1);

	while (v[i].id && !same(&v[i], hash, f, nr))
		i = (i + 1) & (cap - 1);
	return &v[i];
}

static bool grow(struct ct_sites *s)
{
	u32 i, cap = s->cap ? s->cap * 2 : 256;
	struct site *v = calloc(cap, sizeof(*v));
	u32 *by_id = realloc(s->by_id, cap * sizeof(*by_id));

	if (by_id)
		s->by_id = by_id;
	if (!v || !by_id) {
		free(v);
		return false;
	}
	for (i = 0; i < s->cap; i++) {
		struct site *to;

		if (!s->v[i].id)
			continue;
		to = find(v, cap, s->v[i].hash, s->v[i].frames, s->v[i].nr);
		*to = s->v[i];
		by_id[to->id - 1] = (u32)(to - v);
	}
	free(s->v);
	s->v = v;
	s->cap = cap;
	return true;
}

static void tell(struct ct_sites *s, struct site *at)
{
	struct ct_rec rec = { .type = CT_REC_SITE };
	u32 i;

	for (i = 0; i < at->nr; i++)
		ct_modules_need(s->modules, at->frames[i].module);
	rec.site.id = at->id;
	rec.site.nr = at->nr;
	rec.site.frames = at->frames;
	at->file = s->file;
	ct_outbox_put(s->out, &rec);
}

void ct_sites_next_file(struct ct_sites *s)
{
	s->file++;
}

void ct_sites_need(struct ct_sites *s, u32 id)
{
	struct site *at = id && id <= s->nr ? &s->v[s->by_id[id - 1]] : NULL;

	if (at && at->file != s->file)
		tell(s, at);
}

static u32 add(struct ct_sites *s, struct site *at, u64 hash, const struct ct_rec_frame *f, u32 nr)
{
	at->frames = s->nr < CT_SITES_MAX ? malloc(nr * sizeof(*f)) : NULL;
	if (!at->frames)
		return 0;
	memcpy(at->frames, f, nr * sizeof(*f));
	at->hash = hash;
	at->nr = nr;
	at->id = ++s->nr;
	s->by_id[at->id - 1] = (u32)(at - s->v);
	tell(s, at);
	return at->id;
}

u32 ct_sites_id(struct ct_sites *s, const struct ct_modmap *map, const u64 *pcs, u32 nr)
{
	struct ct_rec_frame f[CT_SITE_PCS] = { { 0 } };
	struct site *at;
	u64 hash;
	u32 i;

	nr = ct_min(nr, CT_SITE_PCS);
	if (!nr)
		return 0;
	for (i = 0; i < nr; i++)
		if (!ct_modmap_frame(map, pcs[i], &f[i]))
			f[i] = (struct ct_rec_frame){ 0, pcs[i] };
	if (s->nr * 2 >= s->cap && !grow(s))
		return 0;
	hash = hash_frames(f, nr);
	at = find(s->v, s->cap, hash, f, nr);
	if (!at->id)
		return add(s, at, hash, f, nr);
	ct_sites_need(s, at->id);
	return at->id;
}

u32 ct_sites_leaf_module(const struct ct_sites *s, u32 id)
{
	return id && id <= s->nr ? s->v[s->by_id[id - 1]].frames[0].module : 0;
}
