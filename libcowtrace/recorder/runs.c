/* SPDX-License-Identifier: MIT */
/*
 * The state that a replay begins from: which pages were shared at a fork, in runs.
 *
 * A server's forks begin with the same pages (though not the same page frames) one
 * after the other: such a fork refers to the one whose runs were told last.
 *
 * Invariant: a fork refers only to one whose runs are exactly its own.
 */
#include <string.h>

#include "recorder/state.h"

/* Runs on their way to the trace, a few at a time: a heap full of holes has millions. */
struct runs {
	struct ct_rec_ctx *c;
	u32 fork, nr;
	bool told; /* some of them; v has the rest */
	struct ct_rec_run v[1024];
};

static void flush(struct runs *r)
{
	struct ct_rec rec = { .type = CT_REC_RUNS };

	if (!r->nr)
		return;
	rec.runs.fork = r->fork;
	rec.runs.nr = r->nr;
	rec.runs.runs = r->v;
	ct_outbox_put(r->c->out, &rec);
	r->nr = 0;
	r->told = true;
}

static void add_page(struct runs *r, u64 page, u32 state)
{
	struct ct_rec_run *last = r->nr ? &r->v[r->nr - 1] : NULL;

	if (last && last->state == state && last->page + last->pages == page) {
		last->pages++;
		return;
	}
	if (r->nr == ct_array_size(r->v))
		flush(r);
	r->v[r->nr++] = (struct ct_rec_run){ page, 1, state };
}

static void add_image(struct runs *r, const struct ct_image *img)
{
	ct_ent e[CT_HUGE_PAGES];
	u32 i, k;

	for (i = 0; i < img->nr; i++) {
		const struct ct_window win = ct_chunk_window(img->chunks[i]);
		const u64 first = img->keys[i] * CT_HUGE_PAGES;
		const u32 state = ct_chunk_is_huge(img->chunks[i]) ? CT_RUN_HUGE : CT_RUN_SMALL;

		ct_chunk_expand(img->chunks[i], e);
		for (k = win.from; k < win.to; k++)
			if (e[k] != CT_ENT_NONE)
				add_page(r, first + k, ct_ent_is_swap(e[k]) ? CT_RUN_SWAP : state);
	}
}

/* The same as were told last of this process's forks? */
static bool told_before(const struct ct_told_runs *t, const struct runs *r)
{
	return !r->told && t->fork && t->nr == r->nr &&
	       !memcmp(t->v, r->v, r->nr * sizeof(r->v[0]));
}

/* For the next fork; of few runs only. */
static void remember(struct ct_told_runs *t, const struct runs *r)
{
	struct ct_rec_run *v;

	t->fork = 0;
	if (r->told || !r->nr)
		return;
	v = realloc(t->v, r->nr * sizeof(*v));
	if (!v)
		return;
	memcpy(v, r->v, r->nr * sizeof(*v));
	*t = (struct ct_told_runs){ v, r->nr, r->fork };
}

u32 ct_runs_tell(struct ct_rec_ctx *c, struct ct_proc *parent, const struct ct_fork *f)
{
	struct runs r;

	r.c = c;
	r.fork = f->id;
	r.nr = 0;
	r.told = false;
	add_image(&r, f->orig);
	if (told_before(&parent->told_runs, &r))
		return parent->told_runs.fork;
	remember(&parent->told_runs, &r);
	flush(&r);
	return f->id;
}
