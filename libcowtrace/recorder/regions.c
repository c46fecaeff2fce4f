/* SPDX-License-Identifier: MIT */
/*
 * From VMAs and tags to regions.
 *
 * The kernel joins neighbouring mappings into one VMA and splits others, so a
 * VMA says where memory is and a tag who made it: a region is a piece of a VMA
 * under one tag, or under none ("found").  Neighbours that differ in nothing
 * that a user sees are one region.
 *
 * Invariant: ascending and disjoint; no memory of ours.
 */
#include <string.h>

#include "recorder/regions.h"

/* glibc's secondary arenas: reserves of 64 MiB, aligned to that, opened from the start. */
#define GLIBC_HEAP_MAX (64UL << 20)

struct builder {
	const struct ct_region_inputs *in;
	struct ct_region *v;
	u32 nr, cap;
	bool failed;
	/* The run of plain VMAs that was entered last. */
	size_t run_end;
	enum ct_kind run_kind;
};

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* True when addr is the head of a glibc arena: open memory, then its reserve. */
static bool is_glibc_arena(const struct ct_maps *m, size_t i)
{
	const struct ct_vma *v = &m->vmas[i], *next = v + 1;
	u64 head = v->start & ~(GLIBC_HEAP_MAX - 1);

	if (v->ino || !v->w || v->start != head || i + 1 >= m->nr)
		return false;
	return next->start == v->end && !next->r && !next->w && !next->ino &&
	       next->end == head + GLIBC_HEAP_MAX;
}

/*
 * Writable anonymous memory that goes on where its neighbour ends.  Advice on a
 * part of the stack or of the bss splits the VMA, and the kernel names only the
 * piece at the top of the stack.
 */
static bool goes_on(const struct ct_vma *v, const struct ct_vma *next)
{
	return v->end == next->start && !v->shared && !next->shared;
}

static bool is_plain(const struct ct_vma *v)
{
	return !v->ino && v->w && !v->name[0];
}

static bool is_stack(const struct ct_vma *v)
{
	return v && !strcmp(v->name, "[stack]");
}

/*
 * The run of plain VMAs that begins at i, and what it is a part of: found once for
 * all of them, because advice on every other page makes tens of thousands.
 */
static void begin_run(struct builder *b, size_t i)
{
	const struct ct_maps *m = b->in->maps;
	const struct ct_vma *v = m->vmas, *before = NULL, *after = NULL;
	size_t end = i + 1;

	while (end < m->nr && is_plain(&v[end]) && goes_on(&v[end - 1], &v[end]))
		end++;
	if (i && goes_on(&v[i - 1], &v[i]))
		before = &v[i - 1];
	if (end < m->nr && goes_on(&v[end - 1], &v[end]))
		after = &v[end];
	b->run_end = end;
	if (is_stack(before) || is_stack(after))
		b->run_kind = CT_KIND_STACK;
	else
		b->run_kind = before && before->ino && before->w ? CT_KIND_BSS : CT_KIND_ANON;
}

/* In ascending order of i. */
static enum ct_kind kind_of_vma(struct builder *b, size_t i)
{
	const struct ct_maps *m = b->in->maps;
	const struct ct_vma *v = &m->vmas[i];
	bool plain = is_plain(v);

	if (v->shared)
		return CT_KIND_SHARED;
	if (v->ino)
		return CT_KIND_FILE_PRIVATE;
	if (!strcmp(v->name, "[heap]"))
		return CT_KIND_HEAP;
	if (plain && i >= b->run_end)
		begin_run(b, i);
	if (is_stack(v) || (plain && b->run_kind == CT_KIND_STACK))
		return CT_KIND_STACK;
	if (starts_with(v->name, "[anon: glibc: malloc") || is_glibc_arena(m, i))
		return CT_KIND_ARENA;
	return plain ? b->run_kind : CT_KIND_ANON;
}

/* Allocators that map their own arenas, by the library that called mmap. */
static bool is_allocator(const char *path)
{
	static const char *const libs[] = { "libjemalloc", "libtcmalloc", "libmimalloc",
					    "libtbbmalloc", "libhoard" };
	const char *base = strrchr(path, '/');
	size_t i;

	base = base ? base + 1 : path;
	for (i = 0; i < ct_array_size(libs); i++)
		if (starts_with(base, libs[i]))
			return true;
	return false;
}

static bool same_but_range(const struct ct_region *a, const struct ct_region *b)
{
	return a->name == b->name && a->site == b->site && a->kind == b->kind && a->thp == b->thp &&
	       a->ksm == b->ksm && a->fork_advice == b->fork_advice && a->tagged == b->tagged;
}

static void add(struct builder *b, const struct ct_region *r)
{
	struct ct_region *last = b->nr ? &b->v[b->nr - 1] : NULL;
	struct ct_region *v;

	if (r->start >= r->end)
		return;
	if (last && last->end == r->start && same_but_range(last, r)) {
		last->end = r->end;
		last->t_ns = ct_min(last->t_ns, r->t_ns);
		return;
	}
	if (b->nr == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 64;
		v = realloc(b->v, b->cap * sizeof(*v));
		if (!v) {
			b->failed = true;
			return;
		}
		b->v = v;
	}
	b->v[b->nr++] = *r;
}

/* What the VMA alone says of [start, end). */
static struct ct_region from_vma(const struct builder *b, const struct ct_vma *v, enum ct_kind kind,
				 u64 start, u64 end)
{
	const char *name = v->name;

	/* [heap] and [stack] say no more than the kind does. */
	if (kind == CT_KIND_HEAP || (kind == CT_KIND_STACK && name[0] == '['))
		name = "";
	return (struct ct_region){
		.start = start,
		.end = end,
		.kind = (u8)kind,
		.name = ct_names_id(b->in->names, name),
		.thp = b->in->process_thp,
		.ksm = b->in->process_ksm,
		.t_ns = b->in->t_ns,
	};
}

static void refine(const struct builder *b, struct ct_region *r, const struct ct_tag *t)
{
	const struct ct_region_inputs *in = b->in;

	if (t->name)
		r->name = t->name;
	if (t->thp)
		r->thp = t->thp;
	if (t->ksm)
		r->ksm = t->ksm;
	r->fork_advice = t->fork_advice;
	if (t->mapped || t->named) {
		r->tagged = true;
		r->site = t->site;
		r->t_ns = t->t_ns;
	}
	if (!t->mapped)
		return;
	/* A mapping of the program's that happens to lie right behind a library's bss. */
	if (r->kind == CT_KIND_BSS)
		r->kind = CT_KIND_ANON;
	if (t->kind == CT_KIND_STACK && r->kind == CT_KIND_ANON)
		r->kind = CT_KIND_STACK;
	else if (r->kind == CT_KIND_ANON &&
		 is_allocator(
			 ct_modules_path(in->modules, ct_sites_leaf_module(in->sites, t->site))))
		r->kind = CT_KIND_ARENA;
}

/* One piece of a VMA that holds no memory of ours. */
static void add_piece(struct builder *b, const struct ct_vma *v, enum ct_kind kind, u64 start,
		      u64 end)
{
	u32 nr, i;
	const struct ct_tag *t = ct_tagmap_find(b->in->tags, start, end, &nr);
	struct ct_region r;
	u64 at = start;

	for (i = 0; i < nr; i++) {
		u64 from = ct_max(t[i].start, start), to = ct_min(t[i].end, end);

		r = from_vma(b, v, kind, at, from);
		add(b, &r);
		r = from_vma(b, v, kind, from, to);
		refine(b, &r, &t[i]);
		add(b, &r);
		at = to;
	}
	r = from_vma(b, v, kind, at, end);
	add(b, &r);
}

/* The first of our ranges that overlaps [start, end), or NULL. */
static const struct ct_own_range *first_own(const struct ct_region_inputs *in, u64 start, u64 end)
{
	const struct ct_own_range *best = NULL;
	size_t i;

	for (i = 0; i < in->nr_own; i++)
		if (in->own[i].start < end && in->own[i].end > start &&
		    (!best || in->own[i].start < best->start))
			best = &in->own[i];
	return best;
}

static void add_vma(struct builder *b, size_t i)
{
	const struct ct_vma *v = &b->in->maps->vmas[i];
	enum ct_kind kind = kind_of_vma(b, i);
	const struct ct_own_range *own;
	u64 at = v->start;

	/* Nothing private can be in shared memory; it is listed when it can be written. */
	if ((kind == CT_KIND_SHARED && !v->w) || !strcmp(v->name, "[vvar]") ||
	    !strcmp(v->name, "[vdso]") || !strcmp(v->name, "[vsyscall]") ||
	    !strcmp(v->name, "[vvar_vclock]"))
		return;
	while (at < v->end && (own = first_own(b->in, at, v->end))) {
		if (own->start > at)
			add_piece(b, v, kind, at, own->start);
		at = ct_max(at, own->end);
	}
	if (at < v->end)
		add_piece(b, v, kind, at, v->end);
}

struct ct_regionset *ct_regionset_create(const struct ct_region_inputs *in)
{
	struct builder b = { .in = in };
	struct ct_regionset *s = calloc(1, sizeof(*s));
	size_t i;

	if (!s)
		return NULL;
	for (i = 0; i < in->maps->nr && !b.failed; i++)
		add_vma(&b, i);
	s->refs = 1;
	s->nr = b.nr;
	s->v = b.v;
	s->runs = malloc((b.nr ? b.nr : 1) * sizeof(*s->runs));
	if (b.failed || !s->runs) {
		ct_regionset_unref(s);
		return NULL;
	}
	for (i = 0; i < b.nr; i++)
		s->runs[i] = (struct ct_page_run){ ct_page_of(b.v[i].start),
						   ct_page_of(b.v[i].end - b.v[i].start) };
	return s;
}

struct ct_regionset *ct_regionset_ref(struct ct_regionset *s)
{
	s->refs++;
	return s;
}

void ct_regionset_unref(struct ct_regionset *s)
{
	if (!s || --s->refs)
		return;
	free(s->v);
	free(s->runs);
	free(s);
}
