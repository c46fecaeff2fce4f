/* SPDX-License-Identifier: MIT */
/*
 * The last relative's leave-taking.
 *
 * When a process goes and leaves one alone of its family, that one's writes copy
 * nothing any more, and what it drops from then on is no drop of the fork's.  The
 * survivor is read once inside the hold of the one that goes: a survivor that
 * waits for it and then frees everything at once (a parent after waitpid) has
 * been seen before it does.  It is read again when the other has gone, because
 * until then its writes still copied.
 *
 * Invariant: a process has a parting only while its family has no other member
 * that may still write; a failed exec takes it back.
 */
#include <string.h>

#include "base/futex.h"
#include "recorder/state.h"

/* More ranges than this that a lonely process dropped are not remembered. */
#define LATE_MAX 4096
/* The end of a process is heard of within this time. */
#define TOLD_LATE_NS (2 * CT_NSEC_PER_MSEC)

/*
 * The one that leaver leaves alone, when there is one that shares anything.  Who
 * has asked for its last reading does not count any more, gone or not (an exec
 * that fails takes it back).
 */
static struct ct_proc *survivor(struct ct_rec_ctx *c, const struct ct_proc *leaver)
{
	struct ct_proc *q, *alone = NULL;

	for (q = leaver->family ? c->procs : NULL; q; q = q->next) {
		if (q == leaver || q->family != leaver->family || q->gone_ns || q->exit_read ||
		    q->exec_read)
			continue;
		if (alone)
			return NULL;
		alone = q;
	}
	return alone && alone->shares && !ct_birth_under_way(c, alone) ? alone : NULL;
}

struct ct_proc *ct_parting_begin(struct ct_rec_ctx *c, struct ct_proc *leaver)
{
	struct ct_proc *q = survivor(c, leaver);
	struct ct_image *img = NULL;

	if (!q)
		return NULL;
	/* Without PFNs ct_close_evaluate() has read everybody just now. */
	if (!c->caps.pfns && q->last)
		img = ct_image_ref(q->last);
	else if (ct_proc_read(c, q, &img))
		return NULL;
	ct_parting_forget(q);
	q->parting = img;
	q->parting_held = true;
	return q;
}

void ct_parting_end(struct ct_proc *q)
{
	if (q)
		q->parted_ns = ct_now_ns();
}

void ct_parting_forget(struct ct_proc *q)
{
	ct_image_unref(q->parting);
	q->parting = NULL;
	q->parted_ns = 0;
	q->parting_held = false;
	q->nr_late = 0;
}

/*
 * Killed: nobody stood still.  The survivor is taken as it was seen last, and the
 * kernel's word comes a little after the fact.
 */
void ct_parting_killed(struct ct_rec_ctx *c, struct ct_proc *leaver, u64 told_ns)
{
	struct ct_proc *q = survivor(c, leaver);

	if (!q || !q->last || q->parted_ns)
		return;
	ct_parting_forget(q);
	q->parting = ct_image_ref(q->last);
	q->parted_ns = told_ns - TOLD_LATE_NS;
	/* Whoever waited for it, and that may be the survivor itself, knew it before. */
	if (leaver->waited_ns)
		q->parted_ns = ct_min(q->parted_ns, leaver->waited_ns);
}

bool ct_parting_drop(struct ct_proc *q, const struct ct_drop *d)
{
	if (!q->parted_ns || d->begin_ns < q->parted_ns || q->nr_late == LATE_MAX)
		return false;
	if (!q->late)
		q->late = malloc(LATE_MAX * sizeof(*q->late));
	if (!q->late)
		return false;
	q->late[q->nr_late++] = (struct ct_page_run){ d->page, d->pages };
	return true;
}

static int by_page(const void *a, const void *b)
{
	const struct ct_page_run *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

/* Sorts the late ranges and joins what overlaps. */
static void tidy_late(struct ct_proc *q)
{
	u32 i, out = 0;

	qsort(q->late, q->nr_late, sizeof(*q->late), by_page);
	for (i = 1; i < q->nr_late; i++) {
		struct ct_page_run *last = &q->late[out], *r = &q->late[i];

		if (r->page <= last->page + last->pages)
			last->pages = ct_max(last->pages, r->page + r->pages - last->page);
		else
			q->late[++out] = *r;
	}
	q->nr_late = out + 1;
}

/*
 * The pages of one chunk of orig that q dropped after the parting, as they were
 * then: in a late range; or there then and not now, and the word of it is still
 * on its way.  patch NULL: counts only.
 */
static size_t late_in_chunk(const struct ct_proc *q, const struct ct_image *orig, u32 i,
			    const struct ct_image *now, struct ct_patch *patch)
{
	const struct ct_window win = ct_chunk_window(orig->chunks[i]);
	u64 first = orig->keys[i] * CT_HUGE_PAGES, at;
	ct_ent e[CT_HUGE_PAGES], then;
	size_t nr = 0;
	u32 k;

	ct_chunk_expand(orig->chunks[i], e);
	for (k = win.from; k < win.to; k++) {
		at = first + k;
		if (e[k] == CT_ENT_NONE)
			continue;
		then = ct_image_get(q->parting, at);
		if (!ct_page_runs_hold(q->late, q->nr_late, at) &&
		    (then == CT_ENT_NONE || ct_image_get(now, at) != CT_ENT_NONE))
			continue;
		if (patch)
			patch[nr] = (struct ct_patch){ at, then };
		nr++;
	}
	return nr;
}

static size_t late_pages(const struct ct_proc *q, const struct ct_image *orig,
			 const struct ct_image *now, struct ct_patch *patch)
{
	size_t nr = 0;
	u32 i, at;

	for (i = 0; i < orig->nr; i++) {
		at = ct_image_seek(now, orig->keys[i]);
		/* Nothing has changed here since the fork. */
		if (at < now->nr && now->chunks[at] == orig->chunks[i] && !q->nr_late)
			continue;
		nr += late_in_chunk(q, orig, i, now, patch ? patch + nr : NULL);
	}
	return nr;
}

int ct_parting_compose(struct ct_proc *q, const struct ct_image *orig, struct ct_image *now,
		       struct ct_image **ret_whole)
{
	ct_auto_free struct ct_patch *patch = NULL;
	size_t nr;

	if (!q->parting || !q->parted_ns)
		return -1;
	if (q->nr_late)
		tidy_late(q);
	nr = late_pages(q, orig, now, NULL);
	if (!nr)
		return -1;
	patch = malloc(nr * sizeof(*patch));
	if (!patch)
		return -1;
	late_pages(q, orig, now, patch);
	return ct_image_patch(ct_image_ref(now), patch, nr, ret_whole);
}
