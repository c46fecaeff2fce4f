/* SPDX-License-Identifier: MIT */
/*
 * Huge pages that a program's call has lost, as the program's side saw it; and those
 * that a reading at the end of a fork finds small, whatever made them so.  What first
 * writes lose is told with the writes: the report puts the three together.
 *
 * Invariant: the words are those of docs/report-json.md.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/futex.h"
#include "recorder/state.h"
#include "sys/setting.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"

static const char *const cause_names[CT_THP_CAUSES] = {
	[CT_THP_MUNMAP] = "munmap",   [CT_THP_MMAP] = "mmap",
	[CT_THP_MREMAP] = "mremap",   [CT_THP_BRK] = "brk",
	[CT_THP_MADVISE] = "madvise", [CT_THP_MPROTECT] = "mprotect",
	[CT_THP_MLOCK] = "mlock",     [CT_THP_MUNLOCK] = "munlock",
	[CT_THP_MBIND] = "mbind",     [CT_THP_VMA_NAME] = "vma_name",
};

/* By number: headers may be older than the kernel. */
static const struct {
	u32 advice;
	const char *name;
} advices[] = {
	{ MADV_NORMAL, "madvise_normal" },
	{ MADV_RANDOM, "madvise_random" },
	{ MADV_SEQUENTIAL, "madvise_sequential" },
	{ MADV_DONTNEED, "madvise_dontneed" },
	{ MADV_FREE, "madvise_free" },
	{ MADV_REMOVE, "madvise_remove" },
	{ MADV_DONTFORK, "madvise_dontfork" },
	{ MADV_DOFORK, "madvise_dofork" },
	{ MADV_MERGEABLE, "madvise_mergeable" },
	{ MADV_UNMERGEABLE, "madvise_unmergeable" },
	{ MADV_HUGEPAGE, "madvise_hugepage" },
	{ MADV_NOHUGEPAGE, "madvise_nohugepage" },
	{ MADV_DONTDUMP, "madvise_dontdump" },
	{ MADV_DODUMP, "madvise_dodump" },
	{ MADV_WIPEONFORK, "madvise_wipeonfork" },
	{ MADV_KEEPONFORK, "madvise_keeponfork" },
	{ MADV_COLD, "madvise_cold" },
	{ MADV_PAGEOUT, "madvise_pageout" },
	{ 24, "madvise_dontneed" }, /* MADV_DONTNEED_LOCKED */
	{ 102, "madvise_guard" },   /* MADV_GUARD_INSTALL */
};

static const char *name_of(const struct ct_event *ev)
{
	if (ev->arg == CT_THP_MADVISE)
		for (size_t i = 0; i < ct_array_size(advices); i++)
			if (advices[i].advice == ev->arg2)
				return advices[i].name;
	return ev->arg && ev->arg < CT_THP_CAUSES ? cause_names[ev->arg] : "unknown";
}

static bool is_word(const char *path, const char *want, bool *ret_inherits)
{
	char word[32];

	*ret_inherits = false;
	if (ct_setting_word(path, word, sizeof(word)))
		return false;
	*ret_inherits = !strcmp(word, "inherit");
	return !strcmp(word, want);
}

void ct_thp_setting(struct ct_rec_ctx *c)
{
	bool inherits, unused;

	/* By size since 6.8; before, there is the one setting for all. */
	if (is_word(THP "hugepages-2048kB/enabled", "always", &inherits) ||
	    ((inherits || access(THP "hugepages-2048kB/enabled", F_OK)) &&
	     is_word(THP "enabled", "always", &unused)))
		atomic_store_explicit(&c->seg->thp_always, 1, memory_order_relaxed);
}

void ct_thp_had(struct ct_rec_ctx *c, const struct ct_proc *p)
{
	if (p && p->slot < CT_SEG_SLOTS)
		atomic_fetch_or_explicit(&c->seg->slots[p->slot].flags, CT_SLOT_HUGE,
					 memory_order_relaxed);
}

void ct_thp_lost(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u32 site)
{
	struct ct_rec rec = { .type = CT_REC_THP_LOSS };

	rec.thp_loss.process = p->id;
	rec.thp_loss.t_ns = ct_rec_since(c, ev->t_ns);
	rec.thp_loss.cause = name_of(ev);
	rec.thp_loss.addr = ev->addr;
	rec.thp_loss.len = ev->len;
	rec.thp_loss.site = site;
	ct_outbox_put(c->out, &rec);
}

/* Is any page of this chunk still one of those that were there at the fork? */
static bool is_still_there(const struct ct_share *s, const struct ct_chunk *now, u64 page)
{
	const struct ct_window win = ct_chunk_window(now);
	ct_ent ents[CT_HUGE_PAGES];
	u32 i;

	ct_chunk_expand(now, ents);
	for (i = win.from; i < win.to; i++)
		if (ents[i] != CT_ENT_NONE && ct_extents_hold(&s->extents, page + i) &&
		    ct_extents_source(&s->extents, page + i) == page + i)
			return true;
	return false;
}

void ct_thp_compare(struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_share *s,
		    const struct ct_image *now)
{
	const struct ct_image *orig = s->fork->orig;
	struct ct_rec rec = { .type = CT_REC_THP_LOSS };
	u32 i, at;

	rec.thp_loss.process = p->id;
	rec.thp_loss.fork = s->fork->id;
	rec.thp_loss.t_ns = ct_rec_since(c, ct_now_ns());
	rec.thp_loss.cause = "unknown";
	rec.thp_loss.len = CT_HUGE_SIZE;
	for (i = 0; orig->huge_pages && i < orig->nr; i++) {
		if (!ct_chunk_is_huge(orig->chunks[i]))
			continue;
		at = ct_image_seek(now, orig->keys[i]);
		if (at == now->nr || now->keys[at] != orig->keys[i] ||
		    now->chunks[at] == orig->chunks[i] || ct_chunk_is_huge(now->chunks[at]))
			continue;
		rec.thp_loss.addr = orig->keys[i] << CT_HUGE_SHIFT;
		if (is_still_there(s, now->chunks[at], ct_page_of(rec.thp_loss.addr)))
			ct_outbox_put(c->out, &rec);
	}
}
