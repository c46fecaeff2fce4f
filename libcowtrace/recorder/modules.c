/* SPDX-License-Identifier: MIT */
/*
 * Module table and code maps.
 *
 * The build-id is read once for each file, through /proc/PID/root so that a
 * program in another mount namespace is found too.  Invariant: ids are dense from 1, and
 * a module is told to the store before any site that names it.
 */
#include <stdio.h>
#include <string.h>

#include "recorder/modules.h"
#include "sys/elf.h"

/* Files that hold code, in one recording; each is looked for among all. */
#define MODULES_MAX 4096

struct module {
	char *path;
	u64 ino;
	u32 dev_major, dev_minor;
	u32 file; /* of the trace, that was told of it last */
	u32 build_id_len;
	u8 build_id[20];
};

struct ct_modules {
	struct ct_outbox *out;
	struct module *v;
	u32 nr, cap;
	u32 file;
};

struct code {
	u64 start, end, offset;
	u32 module;
};

struct ct_modmap {
	u32 refs;
	u32 nr;
	struct code v[];
};

struct ct_modules *ct_modules_create(struct ct_outbox *out)
{
	struct ct_modules *m = calloc(1, sizeof(*m));

	if (m)
		m->out = out;
	return m;
}

void ct_modules_destroy(struct ct_modules *m)
{
	u32 i;

	if (!m)
		return;
	for (i = 0; i < m->nr; i++)
		free(m->v[i].path);
	free(m->v);
	free(m);
}

const char *ct_modules_path(const struct ct_modules *m, u32 id)
{
	return id && id <= m->nr ? m->v[id - 1].path : "";
}

static void tell(struct ct_modules *m, u32 id)
{
	struct module *v = &m->v[id - 1];
	struct ct_rec rec = { .type = CT_REC_MODULE, .module = { .id = id, .path = v->path } };

	memcpy(rec.module.build_id, v->build_id, sizeof(v->build_id));
	rec.module.build_id_len = v->build_id_len;
	v->file = m->file;
	ct_outbox_put(m->out, &rec);
}

static void announce(struct ct_modules *m, u32 id, pid_t pid)
{
	struct module *v = &m->v[id - 1];
	char rooted[4352];
	size_t len = 0;

	snprintf(rooted, sizeof(rooted), "/proc/%d/root%s", (int)pid, v->path);
	if (ct_elf_build_id(rooted, v->build_id, &len))
		len = 0; /* deleted, or not an ELF file: symbols will not be found */
	v->build_id_len = (u32)len;
	tell(m, id);
}

void ct_modules_next_file(struct ct_modules *m)
{
	m->file++;
}

void ct_modules_need(struct ct_modules *m, u32 id)
{
	if (id && id <= m->nr && m->v[id - 1].file != m->file)
		tell(m, id);
}

/* Id of the file behind a VMA; 0 without memory, or beyond MODULES_MAX. */
static u32 module_of(struct ct_modules *m, pid_t pid, const struct ct_vma *v)
{
	struct module *grown;
	char *path;
	u32 i;

	for (i = 0; i < m->nr; i++)
		if (m->v[i].ino == v->ino && m->v[i].dev_major == v->dev_major &&
		    m->v[i].dev_minor == v->dev_minor && !strcmp(m->v[i].path, v->name))
			return i + 1;
	if (m->nr == MODULES_MAX)
		return 0;
	if (m->nr == m->cap) {
		u32 cap = m->cap ? m->cap * 2 : 64;

		grown = realloc(m->v, cap * sizeof(*grown));
		if (!grown)
			return 0;
		m->v = grown;
		m->cap = cap;
	}
	path = strdup(v->name);
	if (!path)
		return 0;
	m->v[m->nr++] = (struct module){
		.path = path, .ino = v->ino, .dev_major = v->dev_major, .dev_minor = v->dev_minor
	};
	announce(m, m->nr, pid);
	return m->nr;
}

struct ct_modmap *ct_modmap_ref(struct ct_modmap *map)
{
	map->refs++;
	return map;
}

void ct_modmap_unref(struct ct_modmap *map)
{
	if (map && --map->refs == 0)
		free(map);
}

struct ct_modmap *ct_modmap_create(struct ct_modules *m, pid_t pid, const struct ct_maps *maps)
{
	struct ct_modmap *map;
	size_t i, nr = 0;

	for (i = 0; i < maps->nr; i++)
		nr += maps->vmas[i].x && maps->vmas[i].ino;
	map = malloc(sizeof(*map) + nr * sizeof(map->v[0]));
	if (!map)
		return NULL;
	map->refs = 1;
	map->nr = 0;
	for (i = 0; i < maps->nr; i++) {
		const struct ct_vma *v = &maps->vmas[i];

		if (!v->x || !v->ino)
			continue;
		map->v[map->nr++] =
			(struct code){ v->start, v->end, v->offset, module_of(m, pid, v) };
	}
	return map;
}

bool ct_modmap_frame(const struct ct_modmap *map, u64 pc, struct ct_rec_frame *ret)
{
	u32 lo = 0, hi = map ? map->nr : 0;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (map->v[mid].end <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!map || lo == map->nr || pc < map->v[lo].start || !map->v[lo].module)
		return false;
	ret->module = map->v[lo].module;
	ret->offset = pc - map->v[lo].start + map->v[lo].offset;
	return true;
}
