/* SPDX-License-Identifier: MIT */
/*
 * The events of the scenario language: what each one's words mean, and the ledger's
 * call that it is.  Not what happens then: that is libcowtrace/ledger.
 *
 * Invariant: names are the scenario's, numbers the ledger's: processes count from
 * 1, and each region gets room of its own, aligned to a huge page.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"
#include "policy_player.h"

static struct proc *find_proc(struct player *pl, const char *name)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (pl->procs[i].pid && !strcmp(pl->procs[i].name, name))
			return &pl->procs[i];
	return NULL;
}

static int want_proc(struct player *pl, int i, struct proc **ret)
{
	*ret = find_proc(pl, ct_player_word(pl, i));
	return *ret ? 0 : ct_player_say(pl, "there is no process \"%s\"", ct_player_word(pl, i));
}

static int want_region(struct player *pl, struct proc *p, int i, struct region **ret)
{
	for (int r = 0; r < MAX_REGIONS; r++) {
		if (!p->regions[r].nr || strcmp(p->regions[r].name, ct_player_word(pl, i)))
			continue;
		*ret = &p->regions[r];
		return 0;
	}
	return ct_player_say(pl, "the process has no region \"%s\"", ct_player_word(pl, i));
}

static bool number(const char *text, const char **end, u64 *ret)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return false;
	*ret = strtoull(text, &stop, 10);
	*end = stop;
	return true;
}

/* "7", "0-511", "all"; an absent word is all. */
static int want_range(struct player *pl, const struct region *r, int i, u64 *ret_page, u64 *ret_nr)
{
	const char *text = ct_player_word(pl, i);
	u64 first, last;

	*ret_page = r->page;
	*ret_nr = r->nr;
	if (!*text || !strcmp(text, "all"))
		return 0;
	if (!number(text, &text, &first))
		return ct_player_say(pl, "\"%s\" is no range of pages: 7, 0-511, all",
				     ct_player_word(pl, i));
	last = first;
	if (*text == '-' && !number(text + 1, &text, &last))
		return ct_player_say(pl, "\"%s\" is no range of pages: 7, 0-511, all",
				     ct_player_word(pl, i));
	if (*text || last < first)
		return ct_player_say(pl, "\"%s\" is no range of pages: 7, 0-511, all",
				     ct_player_word(pl, i));
	if (last >= r->nr)
		return ct_player_say(pl, "page range %s leaves the region", ct_player_word(pl, i));
	*ret_page = r->page + first;
	*ret_nr = last - first + 1;
	return 0;
}

struct target {
	struct proc *p;
	struct region *r;
	u64 page, nr;
};

/* EVENT P A [RANGE] */
static int want_target(struct player *pl, int i, struct target *ret)
{
	int rc = want_proc(pl, i, &ret->p);

	if (!rc)
		rc = want_region(pl, ret->p, i + 1, &ret->r);
	if (!rc)
		rc = want_range(pl, ret->r, i + 2, &ret->page, &ret->nr);
	return rc;
}

static int new_proc(struct player *pl, const char *name, struct proc **ret)
{
	for (int i = 0; i < MAX_PROCS; i++) {
		if (pl->procs[i].pid)
			continue;
		memset(&pl->procs[i], 0, sizeof(pl->procs[i]));
		snprintf(pl->procs[i].name, NAME_LEN, "%s", name);
		pl->procs[i].pid = ++pl->next_pid;
		*ret = &pl->procs[i];
		return 0;
	}
	return ct_player_say(pl, "too many processes, with \"%s\"", name);
}

static const char *const kinds[] = { "4k", "mthp64", "thp", "file", "shared", "hugetlb", NULL };

static int do_map(struct player *pl)
{
	struct proc *p = find_proc(pl, ct_player_word(pl, 1));
	const char *end = "";
	struct region *r = NULL;
	int kind = 0, rc = 0;
	u64 nr;

	if (!number(ct_player_word(pl, 3), &end, &nr) || *end || !nr || nr > 1ULL << 32)
		return ct_player_say(pl, "\"%s\" is no number of pages", ct_player_word(pl, 3));
	while (kinds[kind] && strcmp(kinds[kind], ct_player_word(pl, 4)))
		kind++;
	if (!kinds[kind])
		return ct_player_say(
			pl, "\"%s\" is no kind of memory: 4k, mthp64, thp, file, shared, hugetlb",
			ct_player_word(pl, 4));
	if (!p) {
		rc = new_proc(pl, ct_player_word(pl, 1), &p);
		if (!rc)
			rc = ct_ledger_spawn(pl->ledger, p->pid);
	}
	for (int i = 0; i < MAX_REGIONS && !rc && !r; i++)
		if (!p->regions[i].nr)
			r = &p->regions[i];
	if (rc || !r)
		return rc ? rc
			  : ct_player_say(pl, "too many regions, with \"%s\"",
					  ct_player_word(pl, 2));
	snprintf(r->name, sizeof(r->name), "%s", ct_player_word(pl, 2));
	r->page = pl->next_page;
	r->nr = nr;
	pl->next_page += (nr + 3 * UNIT) & ~(u64)(UNIT - 1);
	return ct_ledger_map(pl->ledger, p->pid, r->page, nr, (enum ct_backing)kind);
}

static int do_fork(struct player *pl)
{
	struct proc *p, *child;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (!rc && find_proc(pl, ct_player_word(pl, 2)))
		rc = ct_player_say(pl, "there is a process \"%s\" already", ct_player_word(pl, 2));
	if (!rc)
		rc = new_proc(pl, ct_player_word(pl, 2), &child);
	if (rc)
		return rc;
	memcpy(child->regions, p->regions, sizeof(child->regions));
	return ct_ledger_fork(pl->ledger, p->pid, child->pid, &pl->effect);
}

static int do_exit(struct player *pl)
{
	struct proc *p;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (rc)
		return rc;
	rc = ct_ledger_exit(pl->ledger, p->pid);
	p->pid = 0;
	return rc;
}

static int do_exec(struct player *pl)
{
	struct proc *p;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (rc)
		return rc;
	memset(p->regions, 0, sizeof(p->regions));
	return ct_ledger_exec(pl->ledger, p->pid);
}

#define ON_TARGET(name, call)                                                                  \
	static int do_##name(struct player *pl)                                                \
	{                                                                                      \
		struct target t;                                                               \
		int rc = want_target(pl, 1, &t);                                               \
                                                                                               \
		return rc ? rc                                                                 \
			  : ct_ledger_##call(pl->ledger, t.p->pid, t.page, t.nr, &pl->effect); \
	}

ON_TARGET(write, write)
ON_TARGET(read, read)
ON_TARGET(unmap, unmap)
ON_TARGET(dontneed, dontneed)
ON_TARGET(free, free)
ON_TARGET(pageout, pageout)
ON_TARGET(split, split)
ON_TARGET(splitfolio, split_folio)

static int do_unmerge(struct player *pl)
{
	struct target t;
	int rc;

	/* MADV_UNMERGEABLE is of a mapping, and so is this. */
	rc = want_proc(pl, 1, &t.p);
	if (!rc)
		rc = want_region(pl, t.p, 2, &t.r);
	return rc ? rc : ct_ledger_unmerge(pl->ledger, t.p->pid, t.r->page, t.r->nr, &pl->effect);
}

static int do_collapse(struct player *pl)
{
	struct target t;
	int rc = want_target(pl, 1, &t);

	return rc ? rc : ct_ledger_collapse(pl->ledger, t.p->pid, t.page, t.nr);
}

static int do_protect(struct player *pl)
{
	bool rw = !strcmp(ct_player_word(pl, 4), "rw");
	struct target t;
	int rc = want_target(pl, 1, &t);

	if (!rc && !rw && strcmp(ct_player_word(pl, 4), "ro"))
		rc = ct_player_say(pl, "\"%s\" is neither ro nor rw", ct_player_word(pl, 4));
	return rc ? rc : ct_ledger_protect(pl->ledger, t.p->pid, t.page, t.nr, rw, &pl->effect);
}

static int do_remap(struct player *pl)
{
	bool mis = !strcmp(ct_player_word(pl, 3), "misaligned");
	struct region *r;
	struct proc *p;
	u64 to;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (!rc)
		rc = want_region(pl, p, 2, &r);
	if (!rc && !mis && strcmp(ct_player_word(pl, 3), "aligned"))
		rc = ct_player_say(pl, "\"%s\" is neither aligned nor misaligned",
				   ct_player_word(pl, 3));
	if (rc)
		return rc;
	to = pl->next_page + (mis ? 16 : 0);
	pl->next_page += (r->nr + 4 * UNIT) & ~(u64)(UNIT - 1);
	rc = ct_ledger_remap(pl->ledger, p->pid, r->page, r->nr, to, &pl->effect);
	if (!rc)
		r->page = to;
	return rc;
}

/* advise P A [RANGE] ADVICE */
static int do_advise(struct player *pl)
{
	static const char *const names[] = { "dontfork", "dofork",     "wipeonfork", "keeponfork",
					     "hugepage", "nohugepage", NULL };
	const char *advice = ct_player_word(pl, pl->line->nr_words - 1);
	struct target t = { 0 };
	int rc, i = 0;

	rc = want_proc(pl, 1, &t.p);
	if (!rc)
		rc = want_region(pl, t.p, 2, &t.r);
	if (!rc)
		rc = want_range(pl, t.r, pl->line->nr_words > 4 ? 3 : MAX_WORDS, &t.page, &t.nr);
	/* Merging is an event of its own: `merge`. */
	if (rc || !strcmp(advice, "mergeable"))
		return rc;
	if (!strcmp(advice, "unmergeable"))
		return ct_ledger_unmerge(pl->ledger, t.p->pid, t.page, t.nr, &pl->effect);
	while (names[i] && strcmp(names[i], advice))
		i++;
	if (!names[i])
		return ct_player_say(pl, "\"%s\" is no advice", advice);
	return ct_ledger_advise(pl->ledger, t.p->pid, t.page, t.nr, (enum ct_advice)i, &pl->effect);
}

static int do_merge(struct player *pl)
{
	struct target a, b;
	int rc;

	rc = want_target(pl, 1, &a);
	if (!rc)
		rc = want_target(pl, 4, &b);
	if (!rc && (a.nr != 1 || b.nr != 1))
		rc = ct_player_say(pl, "merge takes one page of each: merge P A 0 Q B 0%s", "");
	if (rc)
		return rc;
	rc = ct_ledger_merge(pl->ledger, a.p->pid, a.page, b.p->pid, b.page, &pl->effect);
	return rc == -EBUSY ? ct_player_say(pl, "a pinned page cannot be merged%s", "") : rc;
}

static int do_pin(struct player *pl)
{
	bool longterm = !strcmp(ct_player_word(pl, 4), "longterm");
	struct target t;
	int rc = want_target(pl, 1, &t);

	if (!rc && !longterm && strcmp(ct_player_word(pl, 4), "get"))
		rc = ct_player_say(pl, "\"%s\" is neither get nor longterm", ct_player_word(pl, 4));
	return rc ? rc
		  : ct_ledger_pin(pl->ledger, t.p->pid, t.page,
				  longterm ? CT_PIN_LONGTERM : CT_PIN_GET, &pl->effect);
}

static int do_unpin(struct player *pl)
{
	struct target t;
	int rc = want_target(pl, 1, &t);

	return rc ? rc : ct_ledger_unpin(pl->ledger, t.p->pid, t.page);
}

/* poke Q P A RANGE: Q writes to P's memory, which faults as P's own write does. */
static int do_poke(struct player *pl)
{
	struct target t;
	struct proc *q;
	int rc;

	rc = want_proc(pl, 1, &q);
	if (!rc)
		rc = want_target(pl, 2, &t);
	return rc ? rc : ct_ledger_write(pl->ledger, t.p->pid, t.page, t.nr, &pl->effect);
}

static int do_cleardirty(struct player *pl)
{
	struct proc *p;
	int rc = want_proc(pl, 1, &p);

	return rc ? rc : ct_ledger_clear_dirty(pl->ledger, p->pid);
}

static int do_uffd(struct player *pl)
{
	static const char *const modes[] = { "off", "sync", "async", NULL };
	struct target t = { 0 };
	int rc, mode = 0;

	rc = want_proc(pl, 1, &t.p);
	if (!rc)
		rc = want_region(pl, t.p, 2, &t.r);
	if (rc)
		return rc;
	while (modes[mode] && strcmp(modes[mode], ct_player_word(pl, 3)))
		mode++;
	if (!modes[mode])
		return ct_player_say(pl, "\"%s\" is none of sync, async, off",
				     ct_player_word(pl, 3));
	return ct_ledger_uffd(pl->ledger, t.p->pid, t.r->page, t.r->nr, (enum ct_uffd)mode,
			      &pl->effect);
}

static int mark(struct player *pl, bool on)
{
	struct target t;
	int rc = want_target(pl, 1, &t);

	if (!rc)
		rc = ct_ledger_uffd_protect(pl->ledger, t.p->pid, t.page, t.nr, on, &pl->effect);
	return rc == -EFAULT ? ct_player_say(pl, "a page is not watched: uffd %s ... first",
					     ct_player_word(pl, 1))
			     : rc;
}

static int do_wp(struct player *pl)
{
	return mark(pl, true);
}

static int do_unwp(struct player *pl)
{
	return mark(pl, false);
}

/* The CPU that a process runs on, which the ledger does not know: see `nodrain`. */
static int do_cpu(struct player *pl)
{
	struct proc *p;
	int rc = want_proc(pl, 1, &p);

	if (!rc && strcmp(ct_player_word(pl, 2), "0") && strcmp(ct_player_word(pl, 2), "1"))
		rc = ct_player_say(pl, "there are CPUs 0 and 1, not \"%s\"", ct_player_word(pl, 2));
	return rc;
}

static int do_drain(struct player *pl)
{
	return ct_ledger_drain(pl->ledger);
}

static int do_option(struct player *pl)
{
	return 0; /* read before the ledger was made */
}

static const struct event events[] = {
	{ "map", 5, 5, do_map },	 { "write", 3, 5, do_write },
	{ "read", 3, 4, do_read },	 { "fork", 3, 3, do_fork },
	{ "exit", 2, 2, do_exit },	 { "exec", 2, 2, do_exec },
	{ "unmap", 3, 4, do_unmap },	 { "dontneed", 3, 4, do_dontneed },
	{ "free", 3, 4, do_free },	 { "protect", 5, 5, do_protect },
	{ "remap", 4, 4, do_remap },	 { "advise", 4, 5, do_advise },
	{ "merge", 7, 7, do_merge },	 { "unmerge", 3, 4, do_unmerge },
	{ "pageout", 3, 4, do_pageout }, { "pin", 5, 5, do_pin },
	{ "unpin", 4, 4, do_unpin },	 { "collapse", 3, 4, do_collapse },
	{ "split", 3, 4, do_split },	 { "drain", 1, 1, do_drain },
	{ "option", 2, 3, do_option },	 { "syswrite", 3, 4, do_write },
	{ "poke", 4, 5, do_poke },	 { "cleardirty", 2, 2, do_cleardirty },
	{ "uffd", 4, 4, do_uffd },	 { "wp", 3, 4, do_wp },
	{ "unwp", 3, 4, do_unwp },	 { "scan", 3, 4, do_wp },
	{ "cpu", 3, 3, do_cpu },	 { "splitfolio", 3, 4, do_splitfolio },
};

const struct event *ct_event_find(const char *name)
{
	for (size_t i = 0; i < ct_array_size(events); i++)
		if (!strcmp(events[i].name, name))
			return &events[i];
	return NULL;
}

static const char *event_at(unsigned int i)
{
	return events[i].name;
}

const char *ct_event_nearest(const char *name)
{
	return ct_name_nearest(name, event_at, ct_array_size(events));
}
