/* SPDX-License-Identifier: MIT */
/*
 * forkload's two judges of the same pages: the model, which counts references
 * of made-up objects and so knows by construction what each write must do to a
 * page, and the kernel, asked for page frames at quiescent points (frames.c).
 *
 * A page belongs to the newest fork, of those in which its process took part,
 * that shared it.  It is counted once for that fork, when the next fork shares
 * it, when its process ends, or when nobody shares it any more.
 *
 * Invariant: a process touches only its own fl_proc and the objects' atomic
 * reference counts; at a fork the parent prepares the child's.
 */
#include "forkload.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *shared_alloc(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fl_die("mmap");
	return p;
}

static void add_region(struct fl *fl, int id, const char *name, const char *kind, uint32_t pages)
{
	struct fl_region *r = &fl->regions[id];

	snprintf(r->name, sizeof(r->name), "%s", name);
	r->kind = kind;
	r->first = fl->nr_pages;
	r->pages = pages;
	fl->nr_pages += pages;
}

struct fl *fl_create(uint32_t nr_threads, uint32_t scale, bool huge)
{
	struct fl *fl = shared_alloc(sizeof(*fl));

	fl->nr_threads = nr_threads;
	fl->scale = scale;
	fl->huge = huge;
	fl->drained = true;
	/* Sixteen slots each (scenario.c), so a multiple of 16. */
	add_region(fl, FL_BRK, "brk", "heap", 256 * scale);
	add_region(fl, FL_MMAP, "mmap", "anon", 512 * scale);
	add_region(fl, FL_STACK, "stack", "stack", 64);
	add_region(fl, FL_BSS, "bss", "bss", 128);
	add_region(fl, FL_DATA, "data", "file_private", 64);
	add_region(fl, FL_READ, "read", "anon", 128 * scale);
	add_region(fl, FL_ZERO, "zero", "anon", 64 * scale);
	add_region(fl, FL_FILE, "file", "file_private", 128 * scale);
	add_region(fl, FL_REMAP, "remap", "anon", 128 * scale);
	add_region(fl, FL_DONTFORK, "dontfork", "anon", 64);
	add_region(fl, FL_DROP, "drop", "anon", 128 * scale);
	add_region(fl, FL_THP, "thp", "anon", huge ? 4 * FL_UNIT_PAGES * scale : 0);

	for (int p = 0; p < FL_NR_PROCS; p++)
		fl->procs[p].pages = shared_alloc(fl->nr_pages * sizeof(struct fl_page));
	fl->max_objs = fl->nr_pages * 2 * FL_NR_PROCS;
	fl->refs = shared_alloc(fl->max_objs * sizeof(*fl->refs));
	fl->next_obj = 1;
	if (pipe(fl->life))
		fl_die("pipe");
	return fl;
}

void fl_proc_begin(struct fl *fl, enum fl_proc_id p, enum fl_role role)
{
	fl->procs[p].pid = getpid();
	fl->procs[p].role = role;
}

static uint32_t new_obj(struct fl *fl)
{
	uint32_t obj = atomic_fetch_add(&fl->next_obj, 1);

	if (obj >= fl->max_objs)
		fl_die("out of model objects");
	atomic_store(&fl->refs[obj], 1);
	return obj;
}

/* A page's first write since the newest fork of its process. */
static void first_write(struct fl *fl, const struct fl_page *pg, int region, bool copied,
			bool unsure)
{
	struct fl_first *first = &fl->forks[pg->fork].first[pg->side][region];

	if (!pg->fork)
		fl->late[region]++;
	else if (copied)
		first->copied++;
	else if (unsure)
		first->unsure++;
	else
		first->reused++;
}

/* What one write does to one page: this is the whole theory of copy-on-write. */
static void write_page(struct fl *fl, struct fl_page *pg, int region, struct fl_writer *w)
{
	bool first = pg->untouched;

	pg->untouched = false;
	atomic_fetch_add(&w->pages, 1);
	if (!pg->obj) {
		pg->obj = new_obj(fl);
		atomic_fetch_add(&w->fresh, 1);
		return;
	}
	if (atomic_load(&fl->refs[pg->obj]) == 1) {
		bool unsure = region == FL_THP && pg->fork && pg->obj == pg->base[FL_BY_MODEL];

		pg->unsure |= unsure;
		if (first)
			first_write(fl, pg, region, false, unsure);
		atomic_fetch_add(&w->reused, 1);
		return;
	}
	atomic_fetch_sub(&fl->refs[pg->obj], 1);
	pg->obj = new_obj(fl);
	if (first)
		first_write(fl, pg, region, true, false);
	atomic_fetch_add(&w->copied, 1);
}

void fl_model_write(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr,
		    struct fl_writer *w)
{
	struct fl_page *pg = &fl->procs[p].pages[fl->regions[region].first + first];

	for (uint32_t i = 0; i < nr; i++)
		write_page(fl, &pg[i], region, w);
}

void fl_model_drop(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr)
{
	struct fl_page *pg = &fl->procs[p].pages[fl->regions[region].first + first];

	for (uint32_t i = 0; i < nr; i++) {
		if (pg[i].obj)
			atomic_fetch_sub(&fl->refs[pg[i].obj], 1);
		pg[i].obj = 0;
		pg[i].dropped = true;
		pg[i].untouched = false;
	}
}

/* The process gives its memory back: it ends, execs, or was killed. */
void fl_model_gone(struct fl *fl, enum fl_proc_id p)
{
	struct fl_page *pg = fl->procs[p].pages;

	for (uint32_t i = 0; i < fl->nr_pages; i++) {
		if (pg[i].obj)
			atomic_fetch_sub(&fl->refs[pg[i].obj], 1);
		pg[i].obj = 0;
	}
}

/* One page at the end of its epoch, by one judge. */
static void count_page(const struct fl_page *pg, enum fl_judge judge, uint64_t now,
		       struct fl_count *c)
{
	if (pg->dropped || !now) {
		c->dropped++;
		c->fresh += now != 0;
	} else if (now != pg->base[judge]) {
		c->copied++;
	} else if (judge == FL_BY_MODEL && pg->unsure) {
		c->unsure++;
	}
}

static void settle_page(struct fl *fl, struct fl_proc *proc, struct fl_page *pg, int region,
			const uint64_t now[FL_NR_JUDGES])
{
	for (int j = 0; j < FL_NR_JUDGES; j++) {
		if (pg->fork)
			count_page(pg, j, now[j], &fl->forks[pg->fork].n[j][pg->side][region]);
		else if (!pg->base[j] && now[j] && proc->newest)
			fl->forks[proc->newest].n[j][proc->side][region].fresh++;
		pg->base[j] = now[j];
	}
	pg->fork = 0;
	pg->dropped = false;
	pg->unsure = false;
}

/*
 * Closes the epoch of every page of p, or, before a fork, of every page that
 * the fork will share.  The caller is quiescent.
 */
static void settle(struct fl *fl, enum fl_proc_id p, bool before_fork)
{
	struct fl_proc *proc = &fl->procs[p];
	uint64_t *pfns = shared_alloc(fl->nr_pages * sizeof(*pfns));

	if (fl->pfn)
		fl_frames_read(fl, p, pfns);
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		const struct fl_region *reg = &fl->regions[r];

		if (before_fork && proc->dontfork[r])
			continue;
		for (uint32_t i = reg->first; i < reg->first + reg->pages; i++)
			settle_page(fl, proc, &proc->pages[i], r,
				    (uint64_t[]){ pfns[i], proc->pages[i].obj });
	}
	munmap(pfns, fl->nr_pages * sizeof(*pfns));
}

void fl_settle(struct fl *fl, enum fl_proc_id p)
{
	settle(fl, p, false);
}

/* Nobody shares with p any more: what it writes from now on is nobody's copy. */
void fl_over(struct fl *fl, enum fl_proc_id p)
{
	settle(fl, p, false);
	fl->procs[p].newest = 0;
}

/* Gives the pages of one region to a new fork, on both sides. */
static void share_region(struct fl *fl, uint32_t id, struct fl_proc *parent, struct fl_proc *child,
			 int region)
{
	const struct fl_region *reg = &fl->regions[region];
	struct fl_fork *f = &fl->forks[id];
	uint32_t huge = region == FL_THP && reg->pages
				? fl_frames_huge(parent->start[region],
						 parent->start[region] + reg->pages * FL_PAGE)
				: 0;

	child->start[region] = f->start[region] = parent->start[region];
	for (uint32_t i = reg->first; i < reg->first + reg->pages; i++) {
		struct fl_page *pg = &parent->pages[i];

		if (pg->obj) {
			pg->fork = (uint8_t)id;
			pg->side = FL_SIDE_PARENT;
			pg->untouched = true;
			atomic_fetch_add(&fl->refs[pg->obj], 1);
			for (int j = 0; j < FL_NR_JUDGES; j++)
				for (int s = 0; s < FL_NR_SIDES; s++)
					f->n[j][s][region].shared++;
		}
		child->pages[i] = *pg;
		child->pages[i].side = FL_SIDE_CHILD;
	}
	for (int j = 0; j < FL_NR_JUDGES; j++)
		for (int s = 0; s < FL_NR_SIDES; s++)
			f->n[j][s][region].huge = huge;
}

/* What this fork does not share goes on belonging to an older one. */
static void withhold_region(struct fl *fl, struct fl_proc *parent, int region)
{
	const struct fl_region *reg = &fl->regions[region];

	for (uint32_t i = reg->first; i < reg->first + reg->pages; i++)
		parent->pages[i].untouched = parent->pages[i].obj != 0;
}

/* The child's own first look: it must map the frames that the parent had. */
static void check_birth(struct fl *fl, enum fl_proc_id p)
{
	struct fl_proc *proc = &fl->procs[p];
	uint64_t *pfns = shared_alloc(fl->nr_pages * sizeof(*pfns));

	fl_frames_read(fl, p, pfns);
	for (uint32_t i = 0; i < fl->nr_pages; i++) {
		if (pfns[i] != proc->pages[i].base[FL_BY_PFN])
			atomic_fetch_add(&fl->nr_errors, 1);
	}
	munmap(pfns, fl->nr_pages * sizeof(*pfns));
}

/* Settles the parent, forks, and opens the new epochs.  Returns as fork does. */
pid_t fl_fork(struct fl *fl, enum fl_proc_id parent, enum fl_proc_id child)
{
	struct fl_proc *pp = &fl->procs[parent], *cp = &fl->procs[child];
	uint32_t id = ++fl->nr_forks;
	struct fl_fork *f = &fl->forks[id];
	pid_t pid;

	fl->drained &= fl_drain();
	settle(fl, parent, true);
	f->parent = parent;
	f->child = child;
	f->parent_pid = pp->pid;
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		if (pp->dontfork[r])
			withhold_region(fl, pp, r);
		else if (pp->start[r])
			share_region(fl, id, pp, cp, r);
	}
	cp->newest = pp->newest = id;
	cp->side = FL_SIDE_CHILD;
	pp->side = FL_SIDE_PARENT;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fl_die("fork");
	if (pid) {
		f->child_pid = pid;
		return pid;
	}
	fl_proc_begin(fl, child, pp->role + 1);
	if (fl->pfn)
		check_birth(fl, child);
	return 0;
}
