/* SPDX-License-Identifier: MIT */
/* What the kernel did with a page that was written: frames compared, before and after. */
#ifndef CT_RECORDER_OBSERVE_H
#define CT_RECORDER_OBSERVE_H

#include "recorder/engine.h"
#include "recorder/state.h"

/* What is known beside the page itself. */
struct ct_observe_hints {
	u64 moved;	  /* ct_observe_moved() when the write was taken in */
	bool seen_again;  /* its thread has faulted since */
	bool last_chance; /* nothing more will be learned by waiting */
};

/* Pages that anything but copy-on-write has moved on this machine so far, some ms old. */
u64 ct_observe_moved(struct ct_rec_ctx *c);

/* The frame at `page` of p (NULL: gone) in img, or now where it has none; 0: none. */
u64 ct_observe_frame(const struct ct_proc *p, u64 page, const struct ct_image *img);

/*
 * img: of the process when it stood still, after the write; or NULL.
 * REUSE, COPY, ALLOC_ZEROED; UNCERTAIN: cannot be told; RETRY: not yet.
 */
enum cowtrace_action ct_observe(struct ct_rec_ctx *c, const struct ct_proc *p,
				const struct ct_seen *s, const struct ct_image *img,
				const struct ct_observe_hints *hints);

#endif
