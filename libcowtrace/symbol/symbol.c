/* SPDX-License-Identifier: MIT */
/*
 * The symbolizer: modules by path and build id, answers by module and offset.
 * How a file is read is module.c's business, how inlined frames are found scopes.c's.
 *
 * Invariant: an answer once given is found again in the cache, and every string in
 * it lives until ct_symbolizer_destroy().
 */
#include "symbol/symbol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "symbol/demangle.h"
#include "symbol/module.h"
#include "symbol/perfmap.h"
#include "symbol/pool.h"
#include "sys/elf.h"

/* Nobody inlines deeper and keeps an overview. */
#define DEPTH_MAX 64

struct module {
	char *path;
	u8 id[CT_BUILD_ID_MAX];
	size_t id_len;
	struct ct_symbol_module *file; /* NULL: not to be had */
};

struct answer {
	u32 module; /* index + 1; 0: free */
	u32 nr;
	u64 offset;
	struct ct_frame *frames;
};

struct jit {
	pid_t pid;
	struct ct_perfmap map; /* empty: no map, or an unreadable one */
};

struct ct_symbolizer {
	struct ct_pool strings;
	struct ct_demangler demangler;
	struct module *modules;
	size_t nr_modules;
	struct answer *answers; /* open addressing */
	size_t nr_answers;
	size_t cap_answers; /* a power of two */
	struct jit *jits;
	size_t nr_jits;
	char *debug_path; /* NULL: elfutils's own */
};

int ct_symbolizer_create(struct ct_symbolizer **ret)
{
	struct ct_symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*ret = s;
	return 0;
}

int ct_symbolizer_debug_path(struct ct_symbolizer *s, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	free(s->debug_path);
	s->debug_path = copy;
	return 0;
}

void ct_symbolizer_destroy(struct ct_symbolizer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nr_modules; i++) {
		free(s->modules[i].path);
		ct_symbol_module_close(s->modules[i].file);
	}
	for (size_t i = 0; i < s->cap_answers; i++)
		free(s->answers[i].frames);
	for (size_t i = 0; i < s->nr_jits; i++)
		ct_perfmap_fini(&s->jits[i].map);
	ct_demangler_fini(&s->demangler);
	ct_pool_fini(&s->strings);
	free(s->modules);
	free(s->answers);
	free(s->jits);
	free(s->debug_path);
	free(s);
}

static int module_add(struct ct_symbolizer *s, const char *path, const u8 *id, size_t id_len)
{
	struct module *grown = reallocarray(s->modules, s->nr_modules + 1, sizeof(*grown));
	struct module *m;
	int r;

	if (!grown)
		return -ENOMEM;
	s->modules = grown;
	m = &grown[s->nr_modules];
	*m = (struct module){ .path = strdup(path), .id_len = id_len };
	if (!m->path)
		return -ENOMEM;
	if (id_len)
		memcpy(m->id, id, id_len);
	r = ct_symbol_module_open(path, id, id_len, &s->debug_path, &m->file);
	if (r == -ENOMEM) {
		free(m->path);
		return r;
	}
	s->nr_modules++;
	return 0;
}

/* A program has some dozens of modules: a list does. */
static int module_get(struct ct_symbolizer *s, const char *path, const u8 *id, size_t id_len,
		      u32 *ret)
{
	int r;

	for (size_t i = 0; i < s->nr_modules; i++) {
		struct module *m = &s->modules[i];

		if (m->id_len == id_len && (!id_len || memcmp(m->id, id, id_len) == 0) &&
		    strcmp(m->path, path) == 0) {
			*ret = (u32)i;
			return 0;
		}
	}
	r = module_add(s, path, id, id_len);
	if (r == 0)
		*ret = (u32)(s->nr_modules - 1);
	return r;
}

static u64 answer_hash(u32 module, u64 offset)
{
	u64 h = (offset ^ (u64)module << 40) * 0x9e3779b97f4a7c15ULL;

	return h ^ h >> 32;
}

/* The answer's place, used or free.  The table is never full. */
static struct answer *answer_slot(struct answer *table, size_t cap, u32 module, u64 offset)
{
	size_t i = answer_hash(module, offset) & (cap - 1);

	while (table[i].module && (table[i].module != module || table[i].offset != offset))
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static int answers_room(struct ct_symbolizer *s)
{
	size_t cap = s->cap_answers ? s->cap_answers * 2 : 1024;
	struct answer *table;

	if (s->nr_answers * 2 < s->cap_answers)
		return 0;
	table = calloc(cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap_answers; i++) {
		struct answer *a = &s->answers[i];

		if (a->module)
			*answer_slot(table, cap, a->module, a->offset) = *a;
	}
	free(s->answers);
	s->answers = table;
	s->cap_answers = cap;
	return 0;
}

/* "redis-server+0x4f3a0": a place where there is no name. */
static const char *place_name(struct ct_symbolizer *s, const char *path, u64 offset)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash && slash[1] ? slash + 1 : path;

	return ct_pool_format(&s->strings, "%s+0x%llx", base, (unsigned long long)offset);
}

/* lookup: what the code is asked by; shown: what the user is shown where that fails. */
static int answer_make(struct ct_symbolizer *s, const struct module *m, u64 lookup, u64 shown,
		       struct answer *ret)
{
	struct ct_frame frames[DEPTH_MAX];
	size_t nr = m->file ? ct_symbol_module_lookup(m->file, lookup, frames, DEPTH_MAX) : 0;

	if (nr == 0) {
		frames[0] = (struct ct_frame){ 0 };
		nr = 1;
	}
	for (size_t i = 0; i < nr; i++) {
		if (!frames[i].function)
			frames[i].function = place_name(s, m->path, shown);
		if (!frames[i].function)
			return -ENOMEM;
		frames[i].function = ct_demangle(&s->demangler, &s->strings, frames[i].function);
	}
	ret->frames = malloc(nr * sizeof(*frames));
	if (!ret->frames)
		return -ENOMEM;
	memcpy(ret->frames, frames, nr * sizeof(*frames));
	ret->nr = (u32)nr;
	return 0;
}

static int answer_get(struct ct_symbolizer *s, u32 module, u64 lookup, u64 shown,
		      const struct answer **ret)
{
	struct answer *a;
	int r = answers_room(s);

	if (r < 0)
		return r;
	a = answer_slot(s->answers, s->cap_answers, module + 1, lookup);
	if (!a->module) {
		r = answer_make(s, &s->modules[module], lookup, shown, a);
		if (r < 0)
			return r;
		a->module = module + 1;
		a->offset = lookup;
		s->nr_answers++;
	}
	*ret = a;
	return 0;
}

int ct_symbolize(struct ct_symbolizer *s, const char *path, const u8 *build_id, size_t build_id_len,
		 u64 file_offset, unsigned int flags, struct ct_frame *frames, size_t nr_frames,
		 size_t *ret_nr)
{
	u64 lookup = file_offset - ((flags & CT_SYMBOLIZE_RETURN) && file_offset ? 1 : 0);
	const struct answer *a;
	u32 module;
	int r;

	if (nr_frames == 0 || build_id_len > CT_BUILD_ID_MAX)
		return -EINVAL;
	r = module_get(s, path, build_id, build_id_len, &module);
	if (r == 0)
		r = answer_get(s, module, lookup, file_offset, &a);
	if (r < 0)
		return r;
	*ret_nr = ct_min(nr_frames, (size_t)a->nr);
	memcpy(frames, a->frames, *ret_nr * sizeof(*frames));
	return 0;
}

static int jit_get(struct ct_symbolizer *s, pid_t pid, const struct ct_perfmap **ret)
{
	struct jit *grown;
	char path[64];

	for (size_t i = 0; i < s->nr_jits; i++) {
		if (s->jits[i].pid == pid) {
			*ret = &s->jits[i].map;
			return 0;
		}
	}
	grown = reallocarray(s->jits, s->nr_jits + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->jits = grown;
	grown[s->nr_jits] = (struct jit){ .pid = pid };
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)pid);
	/* No map is the usual case, and an answer too. */
	if (ct_perfmap_load(path, &grown[s->nr_jits].map) == -ENOMEM)
		return -ENOMEM;
	*ret = &grown[s->nr_jits++].map;
	return 0;
}

int ct_symbolize_jit(struct ct_symbolizer *s, pid_t pid, u64 addr, unsigned int flags,
		     struct ct_frame *ret)
{
	u64 lookup = addr - ((flags & CT_SYMBOLIZE_RETURN) && addr ? 1 : 0);
	const struct ct_perfmap_entry *e;
	const struct ct_perfmap *map;
	struct ct_frame f = { 0 };
	int r = jit_get(s, pid, &map);

	if (r < 0)
		return r;
	e = ct_perfmap_find(map, lookup);
	if (e) {
		f.function = e->name;
		f.func_offset = lookup - e->start;
		f.known = true;
	} else {
		f.function = ct_pool_format(&s->strings, "0x%llx", (unsigned long long)addr);
	}
	if (!f.function)
		return -ENOMEM;
	*ret = f;
	return 0;
}
