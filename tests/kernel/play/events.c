/* SPDX-License-Identifier: MIT */
/*
 * The events of the scenario language on the player's side: words are looked up,
 * and the process that they name is called to do it.
 *
 * Invariant: an event that cannot be done here skips the scenario, with the reason.
 */
#include "play.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct run run;

struct proc *find_proc(const char *name)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (!strcmp(sh->procs[i].name, name))
			return &sh->procs[i];
	return NULL;
}

bool word_is(const struct event *ev, int word, const char *text)
{
	return word < ev->nr && !strcmp(ev->word[word], text);
}

static struct proc *want_proc(const struct event *ev, int word)
{
	struct proc *p = word < ev->nr ? find_proc(ev->word[word]) : NULL;

	if (!p)
		skip("line %d: no such process", ev->line);
	return p;
}

static bool want_region(const struct event *ev, struct proc *p, int word)
{
	for (int i = 0; i < MAX_REGIONS && word < ev->nr; i++) {
		if (!p->regions[i].name[0] || strcmp(p->regions[i].name, ev->word[word]))
			continue;
		p->region = i;
		return true;
	}
	skip("line %d: no such region", ev->line);
	return false;
}

/* "7", "0-511", "all" */
static bool want_range(const struct event *ev, struct proc *p, int word)
{
	const struct region *r = &p->regions[p->region];
	const char *text = word < ev->nr ? ev->word[word] : "all";
	char *end;

	p->first = 0;
	p->last = r->nr - 1;
	if (!strcmp(text, "all"))
		return true;
	p->first = p->last = strtoul(text, &end, 10);
	if (*end == '-')
		p->last = strtoul(end + 1, &end, 10);
	if (!*end && p->first <= p->last && p->last < r->nr)
		return true;
	skip("line %d: bad range %s", ev->line, text);
	return false;
}

static void check(const struct event *ev, int error)
{
	if (error > 0)
		skip("line %d: %s: %s", ev->line, ev->word[0], strerror(error));
}

static void do_map(const struct event *ev)
{
	struct proc *p = ev->nr == 5 ? find_proc(ev->word[1]) : NULL;
	const char *kind = ev->nr == 5 ? ev->word[4] : "";
	struct region *r;
	int i = 0;

	if (!p && ev->nr == 5)
		p = spawn(ev->word[1]);
	if (!p)
		return;
	while (i < MAX_REGIONS && p->regions[i].name[0])
		i++;
	if (i == MAX_REGIONS) {
		skip("line %d: more than %d regions", ev->line, MAX_REGIONS);
		return;
	}
	if (!strcmp(kind, "mthp64") &&
	    !have_file("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled"))
		skip("no 64 KiB folios on this kernel");
	if (!strcmp(kind, "hugetlb") && !setting("/proc/sys/vm/nr_hugepages", "8"))
		skip("no hugetlb pages");
	r = &p->regions[i];
	snprintf(r->name, sizeof(r->name), "%s", ev->word[2]);
	snprintf(r->kind, sizeof(r->kind), "%s", kind);
	r->nr = strtoul(ev->word[3], NULL, 10);
	p->region = i;
	check(ev, call(p, OP_MAP));
}

static void do_fork(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1), *child;
	int slot = 0;

	if (!p || ev->nr != 3)
		return;
	while (slot < MAX_PROCS && sh->procs[slot].name[0])
		slot++;
	if (slot == MAX_PROCS) {
		skip("more than %d processes", MAX_PROCS);
		return;
	}
	child = &sh->procs[slot];
	memset(child, 0, sizeof(*child));
	snprintf(child->name, sizeof(child->name), "%s", ev->word[2]);
	memcpy(child->regions, p->regions, sizeof(child->regions));
	p->child = slot;
	check(ev, call(p, OP_FORK));
}

/* Word 2 names a region, word 3 a range. */
static struct proc *on_range(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (!p || !want_region(ev, p, 2) || !want_range(ev, p, 3))
		return NULL;
	return p;
}

static void do_write(const struct event *ev)
{
	struct proc *p = on_range(ev);

	if (!p)
		return;
	/* "=x": content that another page may have as well, for KSM. */
	p->content = 0;
	if (ev->nr > 4)
		for (const char *c = ev->word[4]; *c; c++)
			p->content = p->content * 257 + (unsigned char)*c;
	if (p->content)
		p->content |= 1ULL << 63;
	huge_sizes(p->regions[p->region].kind);
	check(ev, call(p, word_is(ev, 0, "write") ? OP_WRITE : OP_SYSWRITE));
}

/* poke Q P A RANGE: Q writes to P's memory by process_vm_writev. */
static void do_poke(const struct event *ev)
{
	struct proc *q = want_proc(ev, 1), *p = want_proc(ev, 2);

	if (!q || !p || !want_region(ev, p, 3) || !want_range(ev, p, 4))
		return;
	q->first = p->first;
	q->last = p->last;
	q->child = p - sh->procs;
	q->content = 0;
	huge_sizes(p->regions[p->region].kind);
	check(ev, call(q, OP_POKE));
}

/* uffd P A sync|async|off */
static void do_uffd(const struct event *ev)
{
	static const char *const modes[] = { "off", "sync", "async" };
	struct proc *p = want_proc(ev, 1);
	int mode = 0;

	if (!p || !want_region(ev, p, 2))
		return;
	while (mode < 3 && !word_is(ev, 3, modes[mode]))
		mode++;
	p->arg = mode;
	if (mode == 3)
		skip("line %d: uffd P A sync|async|off", ev->line);
	else if (call(p, OP_UFFD) == EOPNOTSUPP)
		skip("no %s write-protection by userfaultfd on this kernel", modes[mode]);
	else
		check(ev, p->error);
}

static void do_scan(const struct event *ev)
{
	struct proc *p = on_range(ev);

	if (p && call(p, OP_SCAN) == ENOTTY)
		skip("no PAGEMAP_SCAN on this kernel");
	else if (p)
		check(ev, p->error);
}

/* cpu P 0|1: the player's own, or another one */
static void do_cpu(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (!p)
		return;
	p->arg = word_is(ev, 2, "1");
	if (call(p, OP_CPU) == EINVAL)
		skip("one CPU only");
	else
		check(ev, p->error);
}

/* By the kernel's debugging file, which takes a process and addresses from 5.13. */
static void do_splitfolio(const struct event *ev)
{
	struct proc *p = on_range(ev);
	const struct region *r;
	char text[96];

	if (!p)
		return;
	r = &p->regions[p->region];
	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx", p->pid, r->addr + p->first * PAGE,
		 r->addr + (p->last + 1) * PAGE);
	if (!put("/sys/kernel/debug/split_huge_pages", text))
		skip("no way to split a folio here");
	else if (call(p, OP_LARGE) == EBUSY)
		skip("line %d: the folio was not split", ev->line);
}

static void do_cleardirty(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (p)
		check(ev, call(p, OP_CLEARDIRTY));
}

static const struct {
	const char *name;
	int advice;
} advices[] = {
	{ "dontfork", MADV_DONTFORK },	   { "dofork", MADV_DOFORK },
	{ "wipeonfork", MADV_WIPEONFORK }, { "keeponfork", MADV_KEEPONFORK },
	{ "hugepage", MADV_HUGEPAGE },	   { "nohugepage", MADV_NOHUGEPAGE },
	{ "mergeable", MADV_MERGEABLE },   { "unmergeable", MADV_UNMERGEABLE },
};

static void advise(const struct event *ev, struct proc *p, const char *name)
{
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		if (strcmp(advices[i].name, name))
			continue;
		p->arg = advices[i].advice;
		check(ev, call(p, OP_ADVISE));
		return;
	}
	skip("line %d: no such advice", ev->line);
}

static uint64_t frame_of(struct proc *p, int region, unsigned long page)
{
	p->region = region;
	p->first = p->last = page;
	return call(p, OP_PFN) ? 0 : p->pfn;
}

/* Waits until KSM has: the two pages are one. */
static void do_merge(const struct event *ev)
{
	struct proc *p[2];
	int region[2];
	unsigned long page[2];

	if (ev->nr != 7) {
		skip("line %d: merge P A page Q B page", ev->line);
		return;
	}
	if (!have_file("/sys/kernel/mm/ksm/run") || !ksm_start()) {
		skip("no KSM");
		return;
	}
	run.ksm = true;
	for (int i = 0; i < 2; i++) {
		p[i] = want_proc(ev, 1 + 3 * i);
		if (!p[i] || !want_region(ev, p[i], 2 + 3 * i))
			return;
		region[i] = p[i]->region;
		page[i] = strtoul(ev->word[3 + 3 * i], NULL, 10);
		p[i]->first = 0;
		p[i]->last = p[i]->regions[region[i]].nr - 1;
		advise(ev, p[i], "mergeable");
	}
	for (int tries = 0; tries < 500; tries++) {
		uint64_t a = frame_of(p[0], region[0], page[0]);
		uint64_t b = frame_of(p[1], region[1], page[1]);

		if (a && a == b) {
			ksm_stop();
			return;
		}
		usleep(20000);
	}
	ksm_stop();
	skip("line %d: KSM did not merge within 10 s", ev->line);
}

static void do_option(const struct event *ev)
{
	if (ev->nr == 2 && !strcmp(ev->word[1], "nodrain")) {
		run.nodrain = true;
	} else if (ev->nr == 3 && !strcmp(ev->word[1], "swap")) {
		run.swap = true;
		if (!swap_on(ev->word[2]))
			skip("no %s swap device here", ev->word[2]);
	} else {
		skip("line %d: no such option", ev->line);
	}
}

static void do_plain(const struct event *ev, enum op op, int arg)
{
	struct proc *p = on_range(ev);

	if (!p)
		return;
	p->arg = arg;
	if (op == OP_READ)
		huge_sizes(p->regions[p->region].kind);
	check(ev, call(p, op));
}

static void do_exit(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (p)
		reap(p);
}

static void do_exec(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (p)
		check(ev, call(p, OP_EXEC));
}

static void do_advise(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (p && want_region(ev, p, 2) && want_range(ev, p, ev->nr - 2 > 2 ? 3 : ev->nr))
		advise(ev, p, ev->word[ev->nr - 1]);
}

static void do_remap(const struct event *ev)
{
	struct proc *p = want_proc(ev, 1);

	if (!p || !want_region(ev, p, 2))
		return;
	p->arg = word_is(ev, 3, "misaligned");
	check(ev, call(p, OP_REMAP));
}

/* unmerge: MADV_UNMERGEABLE of the whole region */
static void do_unmerge(const struct event *ev)
{
	struct proc *p = on_range(ev);

	if (p)
		advise(ev, p, "unmergeable");
}

void play_event(const struct event *ev)
{
	static const struct {
		const char *name;
		enum op op;
	} plain[] = {
		{ "read", OP_READ },	     { "unmap", OP_UNMAP },	{ "dontneed", OP_DONTNEED },
		{ "free", OP_FREE },	     { "pageout", OP_PAGEOUT }, { "unpin", OP_UNPIN },
		{ "collapse", OP_COLLAPSE }, { "split", OP_SPLIT },	{ "wp", OP_WP },
		{ "unwp", OP_UNWP },
	};
	static const struct {
		const char *name;
		void (*fn)(const struct event *ev);
	} own[] = {
		{ "map", do_map },
		{ "write", do_write },
		{ "fork", do_fork },
		{ "exit", do_exit },
		{ "exec", do_exec },
		{ "advise", do_advise },
		{ "merge", do_merge },
		{ "remap", do_remap },
		{ "unmerge", do_unmerge },
		{ "option", do_option },
		{ "syswrite", do_write },
		{ "poke", do_poke },
		{ "uffd", do_uffd },
		{ "scan", do_scan },
		{ "cpu", do_cpu },
		{ "cleardirty", do_cleardirty },
		{ "splitfolio", do_splitfolio },
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (word_is(ev, 0, own[i].name)) {
			own[i].fn(ev);
			return;
		}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (word_is(ev, 0, plain[i].name)) {
			do_plain(ev, plain[i].op, 0);
			return;
		}
	if (word_is(ev, 0, "protect"))
		do_plain(ev, OP_PROTECT, word_is(ev, 4, "rw"));
	else if (word_is(ev, 0, "pin"))
		do_plain(ev, OP_PIN, word_is(ev, 4, "longterm"));
	else if (word_is(ev, 0, "drain"))
		drain(true);
	else
		skip("line %d: no event is called %s", ev->line, ev->word[0]);
}
