/* SPDX-License-Identifier: MIT */
/*
 * Watches: found by the engine's number of a context, and, from the fork that
 * made them until their process has spoken, in a list of the unborn.  It knows
 * nothing of writes.
 *
 * Invariant: a watch is freed when its process has ended or died unborn, and an
 * epoch is forgotten when no write can lead to it any more: a server that forks
 * for days holds no more than one that has just begun.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "recorder/watches.h"
#include "sys/uffd.h"

#define SWEEP_NS (500 * CT_NSEC_PER_MSEC)
/* No write is kept waiting for longer. */
#define EPOCH_AGE_NS (20 * CT_NSEC_PER_SEC)
#define EPOCHS_FEW 256u

void ct_watches_fini(struct ct_watches *ws)
{
	u32 i;

	for (i = 0; i < CT_WATCH_BUCKETS; i++)
		while (ws->buckets[i])
			ct_watch_free(ws, ws->buckets[i]);
}

struct ct_watch *ct_watch_of(const struct ct_watches *ws, u32 ctx)
{
	struct ct_watch *w = ws->buckets[ctx % CT_WATCH_BUCKETS];

	while (w && w->ctx != ctx)
		w = w->next;
	return w;
}

struct ct_watch *ct_watch_create(struct ct_watches *ws, u32 ctx, int fd)
{
	struct ct_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->ctx = ctx;
	w->uffd = fd;
	w->next = ws->buckets[ctx % CT_WATCH_BUCKETS];
	ws->buckets[ctx % CT_WATCH_BUCKETS] = w;
	return w;
}

void ct_watch_is_born(struct ct_watch *w)
{
	if (!w->unborn_at)
		return;
	*w->unborn_at = w->next_unborn;
	if (w->next_unborn)
		w->next_unborn->unborn_at = w->unborn_at;
	w->unborn_at = NULL;
	w->next_unborn = NULL;
}

void ct_watch_free(struct ct_watches *ws, struct ct_watch *w)
{
	struct ct_watch **at = &ws->buckets[w->ctx % CT_WATCH_BUCKETS];

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	ct_watch_is_born(w);
	if (w->uffd >= 0)
		close(w->uffd);
	free(w->armed);
	free(w->epochs);
	free(w);
}

/* Its oldest half, where all of it is past. */
static bool forget_epochs(struct ct_watch *w, u64 now)
{
	const u32 nr = w->nr_epochs / 2;
	u32 i;

	if (w->nr_epochs < EPOCHS_FEW || w->epochs[nr - 1].t_ns + EPOCH_AGE_NS > now)
		return false;
	for (i = 0; i < nr; i++)
		if (w->epochs[i].fork)
			w->old_fork = w->epochs[i].fork;
	memmove(w->epochs, w->epochs + nr, (w->nr_epochs - nr) * sizeof(*w->epochs));
	w->nr_epochs -= nr;
	w->old_epochs += nr;
	return true;
}

static bool add_epoch(struct ct_watch *w, u32 child, u64 t_ns)
{
	u32 cap = w->cap_epochs ? w->cap_epochs * 2 : 8;
	struct ct_epoch *v;

	if (w->nr_epochs == w->cap_epochs && !forget_epochs(w, t_ns)) {
		v = realloc(w->epochs, cap * sizeof(*v));
		if (!v)
			return false;
		w->epochs = v;
		w->cap_epochs = cap;
	}
	w->epochs[w->nr_epochs++] = (struct ct_epoch){ .child = child, .t_ns = t_ns };
	return true;
}

/* Numbered by the engine: word of one that was lost on the way leaves a hole. */
void ct_watch_epochs_reach(struct ct_watch *w, u32 epoch, u64 t_ns)
{
	while (w->old_epochs + w->nr_epochs < epoch)
		if (!add_epoch(w, 0, t_ns))
			return;
}

void ct_watch_forked(struct ct_watches *ws, const struct ct_seen *s)
{
	struct ct_watch *w = ct_watch_of(ws, s->ctx), *child = NULL;

	if (s->child)
		child = ct_watch_create(ws, s->child, s->fd);
	if (child) {
		child->made_ns = s->t_ns;
		child->next_unborn = ws->unborn;
		child->unborn_at = &ws->unborn;
		if (ws->unborn)
			ws->unborn->unborn_at = &child->next_unborn;
		ws->unborn = child;
	} else if (s->fd >= 0) {
		close(s->fd);
	}
	if (!w)
		return;
	ct_watch_epochs_reach(w, s->epoch - 1, s->t_ns);
	if (w->old_epochs + w->nr_epochs + 1 == s->epoch)
		add_epoch(w, child ? s->child : 0, s->t_ns);
}

struct ct_epoch *ct_watch_epoch(const struct ct_watch *w, u32 n)
{
	return n > w->old_epochs && n - w->old_epochs <= w->nr_epochs
		       ? &w->epochs[n - w->old_epochs - 1]
		       : NULL;
}

u32 ct_watch_epoch_of_child(const struct ct_watch *w, u32 child)
{
	u32 i, found = 0;

	for (i = w->nr_epochs; i; i--) {
		const struct ct_epoch *ep = &w->epochs[i - 1];

		if (ep->child != child || ep->settled)
			continue;
		found = w->old_epochs + i;
		/* Children that nobody watches are born in the order of their clones. */
		if (child)
			break;
	}
	return found;
}

struct ct_watch *ct_watch_unborn(const struct ct_watches *ws, s32 pid)
{
	struct ct_watch *w = ws->unborn;

	while (w && (w->pid != pid || w->ended))
		w = w->next_unborn;
	return w;
}

void ct_watches_sweep(struct ct_watches *ws, u64 now, void (*gone)(void *arg, struct ct_watch *w),
		      void *arg)
{
	struct ct_watch *w, *next;

	if (now < ws->swept_ns + SWEEP_NS)
		return;
	ws->swept_ns = now;
	for (w = ws->unborn; w; w = next) {
		next = w->next_unborn;
		/* An empty question, that tells whether the memory is there. */
		if (w->made_ns + SWEEP_NS > now || w->ended ||
		    ct_uffd_unprotect(w->uffd, 0, CT_PAGE_SIZE, false) != -ESRCH)
			continue;
		w->ended = true;
		gone(arg, w);
	}
}
