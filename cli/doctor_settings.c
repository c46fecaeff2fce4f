/* SPDX-License-Identifier: MIT */
/*
 * Settings of the kernel, and what each means for a program that forks.  No advice
 * to change them: that depends on the program.
 *
 * Invariant: a setting that cannot be read is left out, not guessed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

static ct_printf(5, 6) void add(struct ct_doctor *d, const char *id, const char *name,
				const char *meaning, const char *fmt, ...)
{
	struct ct_setting *s = &d->settings[d->nr_settings];
	va_list ap;

	if (d->nr_settings == CT_MAX_SETTINGS)
		return;
	d->nr_settings++;
	*s = (struct ct_setting){ .id = id, .name = name, .meaning = meaning };
	va_start(ap, fmt);
	vsnprintf(s->value, sizeof(s->value), fmt, ap);
	va_end(ap);
}

static const char *thp_meaning(const char *v)
{
	if (!strcmp(v, "always"))
		return "any large memory may be of huge pages: fork copies few page tables and is "
		       "fast, but the first write to a shared one splits it, and it stays split "
		       "until khugepaged makes a new one";
	if (!strcmp(v, "madvise"))
		return "only memory that asks for it is of huge pages; the first write to a shared "
		       "one splits it";
	return "no huge pages: fork copies a page table entry for every 4 KiB, the slower the more "
	       "memory there is";
}

static void thp(struct ct_doctor *d)
{
	const struct ct_memconf *m = &d->mem;

	if (!*m->thp)
		return;
	add(d, "thp_enabled", "transparent huge pages", thp_meaning(m->thp), "%s", m->thp);
	if (*m->thp_defrag)
		add(d, "thp_defrag", "defragmentation for them",
		    !strcmp(m->thp_defrag, "always")
			    ? "a fault may wait while the kernel moves pages about; pages that it "
			      "moves can look like copies, and are counted as unknown"
			    : "few faults wait for the kernel to move pages about",
		    "%s", m->thp_defrag);
	if (m->khugepaged_sleep_ms >= 0 && strcmp(m->thp, "never"))
		add(d, "khugepaged", "khugepaged",
		    "makes huge pages anew of what forks have split, which moves pages: those "
		    "count "
		    "as unknown where a copy cannot be told from it",
		    "a round every %lld ms", (long long)m->khugepaged_sleep_ms);
}

/* Sizes that are on, below that of a whole huge page: "64 256 kB". */
static void mthp(struct ct_doctor *d)
{
	const struct ct_memconf *m = &d->mem;
	char on[64] = "";
	size_t len = 0;

	for (size_t i = 0; i < m->nr_mthp; i++)
		if (m->mthp[i].kib < CT_HUGE_SIZE / 1024 && *m->mthp[i].enabled &&
		    strcmp(m->mthp[i].enabled, "never") && len + 12 < sizeof(on))
			len += (size_t)snprintf(on + len, sizeof(on) - len, "%u ", m->mthp[i].kib);
	if (!m->nr_mthp)
		return;
	add(d, "mthp", "middle-sized huge pages",
	    len ? "memory may come in folios of these sizes: the kernel still copies 4 KiB a first "
		  "write, and may copy where a small page would be reused, while any page of the "
		  "folio is shared"
		: "none of the sizes is on: each small page is reused or copied by itself",
	    "%s%s", len ? on : "off", len ? "kB" : "");
}

static void ksm(struct ct_doctor *d)
{
	const struct ct_memconf *m = &d->mem;

	if (m->ksm_run < 0)
		return;
	add(d, "ksm", "KSM",
	    m->ksm_run == 1 ? "pages of equal content are merged where a program allows it: each "
			      "first write to a merged one copies it, relatives or none"
			    : "nothing is merged anew; pages that are merged already are copied at "
			      "their first write",
	    "%s, %lld pages merged",
	    m->ksm_run == 1 ? "running"
	    : m->ksm_run    ? "unmerging"
			    : "stopped",
	    (long long)ct_max(m->ksm_pages_sharing, (s64)0));
}

static void overcommit(struct ct_doctor *d)
{
	static const char *const meanings[] = {
		"fork of a process larger than all memory and swap is refused; else it succeeds, "
		"and copies may use up memory later",
		"fork is never refused for memory; when copies use it up, the OOM killer ends a "
		"process",
		"every fork is charged as if all were copied: one of a large process may fail with "
		"ENOMEM though memory is free",
	};
	const struct ct_memconf *m = &d->mem;

	if (m->overcommit < 0 || m->overcommit > 2)
		return;
	add(d, "overcommit", "vm.overcommit_memory", meanings[m->overcommit], "%lld",
	    (long long)m->overcommit);
}

static void swap(struct ct_doctor *d)
{
	const struct ct_memconf *m = &d->mem;

	if (m->swap_total_kib < 0)
		return;
	add(d, "swap", "swap",
	    m->swap_total_kib
		    ? "shared pages may be swapped out instead of a process being ended; one that "
		      "comes back is another page, and counts as unknown where a copy cannot be "
		      "told"
		    : "there is none: copies need free memory, or the OOM killer ends a process",
	    "%lld MiB, %lld free", (long long)m->swap_total_kib / 1024,
	    (long long)m->swap_free_kib / 1024);
	if (m->swap_total_kib && m->swappiness >= 0)
		add(d, "swappiness", "vm.swappiness",
		    "the higher, the sooner the memory of an idle parent goes to swap rather than "
		    "file caches",
		    "%lld", (long long)m->swappiness);
}

void ct_doctor_explain_settings(struct ct_doctor *d)
{
	thp(d);
	mthp(d);
	ksm(d);
	overcommit(d);
	swap(d);
}
