/* SPDX-License-Identifier: MIT */
/*
 * Processes: made at a HELLO or a birth, ended when the kernel says that they
 * have gone; their regions and call sites as the trace names them.
 *
 * Invariant: a process is in c->procs and c->by_slot from its creation to its
 * end, and its slot is freed last.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/futex.h"
#include "channel/slot.h"
#include "recorder/faults.h"
#include "recorder/io.h"
#include "recorder/reap.h"
#include "recorder/writes.h"
#include "sys/pidfd.h"
#include "sys/vmstat.h"

/* A module that is loaded later is looked for no more often than this. */
#define MODMAP_AGE_NS (200 * CT_NSEC_PER_MSEC)

/* A process that forked this recently is likely to fork again at once. */
#define BUSY_NS (20 * CT_NSEC_PER_MSEC)

/* What is wrong a thousand times is told a thousand times, and counted from there on. */
#define NOTES_MAX 1000

void ct_rec_note(struct ct_rec_ctx *c, u32 process, const char *severity, const char *code,
		 const char *fmt, ...)
{
	struct ct_rec rec = { .type = CT_REC_NOTE };
	bool warning = !strcmp(severity, "warning");
	char text[512];
	va_list ap;

	if (warning && c->nr_warnings >= NOTES_MAX) {
		c->totals.notes++;
		return;
	}
	c->nr_warnings += warning;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rec.note.t_ns = ct_rec_since(c, ct_now_ns());
	rec.note.process = process;
	rec.note.severity = severity;
	rec.note.code = code;
	rec.note.text = text;
	c->totals.notes += strcmp(severity, "info") != 0;
	ct_outbox_put(c->out, &rec);
}

struct ct_proc *ct_proc_of_pid(struct ct_rec_ctx *c, s32 pid)
{
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next)
		if (p->pid == pid && !p->gone_ns)
			return p;
	return NULL;
}

struct ct_proc *ct_proc_of_id(struct ct_rec_ctx *c, u32 id)
{
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next)
		if (p->id == id)
			return p;
	return NULL;
}

static int join_family(struct ct_proc *p, const struct ct_proc *from)
{
	if (from) {
		p->family = from->family;
	} else {
		p->family = calloc(1, sizeof(*p->family));
		if (!p->family)
			return -ENOMEM;
	}
	p->family->refs++;
	p->family->alive++;
	return 0;
}

/* What a child has from its parent: tags, code, the shim's place, prctl settings. */
static int inherit(struct ct_proc *p, const struct ct_proc *from)
{
	if (!from) {
		p->tags = ct_tagmap_create();
		return p->tags ? 0 : -ENOMEM;
	}
	p->tags = ct_tagmap_ref(from->fork_tags ? from->fork_tags : from->tags);
	p->thp = from->thp;
	p->ksm = from->ksm;
	p->modmap_ns = from->modmap_ns;
	memcpy(p->comm, from->comm, sizeof(p->comm));
	p->exe = from->exe;
	p->ksm_eyes = from->ksm_eyes;
	if (from->modmap)
		p->modmap = ct_modmap_ref(from->modmap);
	if (from->own) {
		p->own = from->own;
		p->own->refs++;
	}
	return 0;
}

struct ct_proc *ct_proc_create(struct ct_rec_ctx *c, u32 slot, s32 pid, const struct ct_proc *from)
{
	struct ct_proc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->pidfd = -1;
	p->pagemap_fd = -1;
	p->statm_fd = -1;
	p->perf.fd = -1;
	p->wstatus = -1;
	p->pid = pid;
	p->born_ns = ct_now_ns();
	p->slot = slot;
	if (inherit(p, from) || join_family(p, from)) {
		ct_tagmap_unref(p->tags);
		free(p);
		return NULL;
	}
	p->id = ++c->next_process;
	p->next = c->procs;
	c->procs = p;
	c->by_slot[slot] = p;
	c->nr_alive++;
	c->totals.processes++;
	if (ct_pidfd_open(pid, &p->pidfd) || ct_io_watch(c->io, p->pidfd, p->id)) {
		/* Gone already, or out of descriptors: the sweep will find out. */
		if (p->pidfd >= 0)
			close(p->pidfd);
		p->pidfd = -1;
	}
	return p;
}

void ct_proc_announce(struct ct_rec_ctx *c, struct ct_proc *p, s32 parent_pid, u64 start_ns)
{
	struct ct_rec rec = { .type = CT_REC_PROCESS };

	p->parent_pid = parent_pid;
	p->start_ns = start_ns;
	rec.process.id = p->id;
	rec.process.parent = p->parent_id;
	rec.process.pid = p->pid;
	rec.process.parent_pid = parent_pid;
	rec.process.comm = p->comm;
	rec.process.exe = ct_names_get(c->names, p->exe);
	rec.process.start_ns = start_ns;
	ct_outbox_put(c->out, &rec);
}

void ct_proc_leave_family(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_family *f = p->family;
	u64 now = ct_now_ns();
	struct ct_proc *q;

	if (!f)
		return;
	p->family = NULL;
	f->alive--;
	/*
	 * The last one: what it writes from now on is never copied.  Where it forks
	 * often its shares are closed in a moment, not now: the next child's birth
	 * brings the same reading for nothing.
	 */
	for (q = c->procs; f->alive == 1 && q; q = q->next) {
		bool busy = now - q->forked_ns < BUSY_NS;

		if (q->family == f && q->shares)
			q->close_due_ns = now + (busy ? 10 * CT_NSEC_PER_MSEC : 0);
	}
	if (--f->refs == 0)
		free(f);
}

static void proc_free(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_proc **at;

	while (p->shares) {
		struct ct_share *s = p->shares;

		p->shares = s->next;
		ct_share_free(s);
	}
	for (at = &c->procs; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	if (p->pidfd >= 0 && p->reaped)
		close(p->pidfd);
	else if (p->pidfd >= 0)
		ct_io_unwatch(c->io, p->pidfd);
	ct_reap_forget(c, p);
	if (p->pagemap_fd >= 0)
		close(p->pagemap_fd);
	if (p->statm_fd >= 0)
		close(p->statm_fd);
	if (p->own && --p->own->refs == 0)
		free(p->own);
	ct_tagmap_unref(p->tags);
	ct_tagmap_unref(p->fork_tags);
	ct_modmap_unref(p->modmap);
	ct_regionset_unref(p->regions);
	ct_mapset_unref(p->mapset);
	ct_image_unref(p->last);
	ct_image_unref(p->exec_image);
	ct_parting_forget(p);
	free(p->late);
	free(p->told_runs.v);
	free(p->region_ids);
	free(p->drops);
	free(p->hot);
	free(p);
}

void ct_proc_end(struct ct_rec_ctx *c, struct ct_proc *p, enum ct_ended ended, u64 end_ns)
{
	struct ct_rec rec = { .type = CT_REC_PROCESS_END };
	u32 slot = p->slot;

	rec.process_end.id = p->id;
	rec.process_end.ended = ended;
	rec.process_end.end_ns = ct_rec_since(c, end_ns);
	rec.process_end.wstatus = p->wstatus;
	ct_outbox_put(c->out, &rec);
	if (c->writes)
		ct_writes_ended(c, p);
	ct_faults_ended(c, p);
	ct_proc_leave_family(c, p);
	c->nr_alive--;
	proc_free(c, p);
	c->by_slot[slot] = NULL;
	if (ended != CT_ENDED_RUNNING)
		ct_slot_free(c->seg, slot);
}

void ct_proc_read_modules(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_modmap *map;

	p->modmap_ns = ct_now_ns();
	if (ct_maps_load(p->pid, &c->code_maps) || !c->code_maps.nr)
		return;
	map = ct_modmap_create(c->modules, p->pid, &c->code_maps);
	if (!map)
		return;
	ct_modmap_unref(p->modmap);
	p->modmap = map;
}

u32 ct_proc_site(struct ct_rec_ctx *c, struct ct_proc *p, const u64 *pcs, u32 nr)
{
	struct ct_rec_frame f;
	u64 now = ct_now_ns();
	u32 i;

	nr = ct_min(nr, CT_SITE_PCS);
	for (i = 0; i < nr; i++) {
		if (p->modmap &&
		    (ct_modmap_frame(p->modmap, pcs[i], &f) || now - p->modmap_ns < MODMAP_AGE_NS))
			continue;
		ct_proc_read_modules(c, p);
		break;
	}
	return ct_sites_id(c->sites, p->modmap, pcs, nr);
}

static u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

struct ct_regionset *ct_proc_regions(struct ct_rec_ctx *c, struct ct_proc *p,
				     const struct ct_tagmap *tags, const struct ct_mapset *maps)
{
	struct ct_region_inputs in = {
		.maps = &maps->maps,
		.tags = tags,
		.own = p->own ? p->own->v : NULL,
		.nr_own = p->own ? p->own->nr : 0,
		.modules = c->modules,
		.sites = c->sites,
		.names = c->names,
		.process_thp = p->thp,
		.process_ksm = p->ksm,
		.t_ns = ct_rec_since(c, ct_now_ns()),
	};
	struct ct_regionset *set;
	u64 hash;

	hash = mix(maps->hash, ct_tagmap_version(tags));
	hash = mix(hash, (u64)p->thp << 8 | p->ksm);
	if (p->regions && p->regions_hash == hash)
		return ct_regionset_ref(p->regions);
	set = ct_regionset_create(&in);
	if (!set)
		return NULL;
	ct_regionset_unref(p->regions);
	p->regions = ct_regionset_ref(set);
	p->regions_hash = hash;
	return set;
}

static u64 region_hash(const struct ct_region *r)
{
	/* Each mixed in by itself: start ^ end is the same for all stacks of one size. */
	u64 h = mix(mix(mix(1, r->start), r->end), (u64)r->site << 32 | r->name);

	h = mix(h, (u64)r->kind << 32 | (u64)r->thp << 24 | (u64)r->ksm << 16 |
			   (u64)r->fork_advice << 8 | r->tagged);
	return h ? h : 1;
}

static bool grow_ids(struct ct_proc *p)
{
	u32 i, k, cap = p->cap_region_ids ? p->cap_region_ids * 2 : 64;
	struct ct_region_id *v = calloc(cap, sizeof(*v));

	if (!v)
		return false;
	for (i = 0; i < p->cap_region_ids; i++) {
		if (!p->region_ids[i].id)
			continue;
		k = (u32)p->region_ids[i].hash & (cap - 1);
		while (v[k].id)
			k = (k + 1) & (cap - 1);
		v[k] = p->region_ids[i];
	}
	free(p->region_ids);
	p->region_ids = v;
	p->cap_region_ids = cap;
	return true;
}

static void tell_region(struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_region *r,
			u32 id)
{
	struct ct_rec rec = { .type = CT_REC_REGION };

	rec.region.id = id;
	rec.region.process = p->id;
	rec.region.start = r->start;
	rec.region.end = r->end;
	rec.region.kind = r->kind;
	rec.region.name = ct_names_get(c->names, r->name);
	rec.region.tagged = r->tagged;
	rec.region.site = r->site;
	ct_sites_need(c->sites, r->site);
	rec.region.thp = r->thp;
	rec.region.ksm = r->ksm;
	rec.region.fork_advice = r->fork_advice;
	rec.region.t_ns = r->t_ns;
	ct_outbox_put(c->out, &rec);
}

u32 ct_proc_region_id(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_region *r)
{
	u64 hash = region_hash(r);
	u32 i;

	if (p->nr_region_ids * 2 >= p->cap_region_ids && !grow_ids(p))
		return 0;
	i = (u32)hash & (p->cap_region_ids - 1);
	while (p->region_ids[i].id && p->region_ids[i].hash != hash)
		i = (i + 1) & (p->cap_region_ids - 1);
	if (!p->region_ids[i].id) {
		p->region_ids[i] = (struct ct_region_id){ hash, ++c->next_region };
		p->nr_region_ids++;
		tell_region(c, p, r, p->region_ids[i].id);
	}
	return p->region_ids[i].id;
}

void ct_proc_keep_alive(void *arg)
{
	struct ct_rec_ctx *c = arg;

	ct_urgency_off(c);
	/* Its queue must not run full behind a long reading. */
	if (c->writes)
		ct_writes_ingest(c);
	ct_faults_ingest(c);
	ct_rec_beat(c);
}

/* Where anything is merged at all: has ksmd looked at this process? */
static void watch_ksm(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_activity now;
	u64 items;

	ct_activity_recent(c, &now);
	if (now.ksm && !p->ksm_eyes)
		p->ksm_eyes = ct_ksm_of_process(p->pid, &items) || items;
}

int ct_proc_read(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image **ret_img)
{
	struct ct_reading_opts opts = {
		.caps = &c->caps,
		.own = p->own ? p->own->v : NULL,
		.nr_own = p->own ? p->own->nr : 0,
		.base = p->last,
		.tick = ct_proc_keep_alive,
		.tick_arg = c,
	};
	struct ct_mapset *maps;
	struct ct_image *img;
	int err;

	if (p->pagemap_fd < 0)
		return -ESRCH;
	ct_rec_looks_at(c, p);
	if (!opts.base && p->shares)
		opts.base = p->shares->fork->orig;
	err = ct_mapset_get(p->pid, &p->statm_fd, p->pagemap_fd, &c->caps, p->mapset, true, &maps);
	if (err)
		return err;
	ct_mapset_unref(p->mapset);
	p->mapset = maps;
	opts.maps = &maps->maps;
	opts.plan = &maps->plan;
	watch_ksm(c, p);
	p->read_ns = ct_now_ns();
	err = ct_reading_take(&c->reader, p->pagemap_fd, &opts, &img);
	if (err)
		return err;
	ct_image_unref(p->last);
	p->last = ct_image_ref(img);
	/* The reading is newer than what was looked at page by page. */
	p->nr_hot = 0;
	*ret_img = img;
	return 0;
}
