/* SPDX-License-Identifier: MIT */
/*
 * How an image becomes traced: once, before any other constructor.
 */
#ifndef CT_TRACED_ATTACH_H
#define CT_TRACED_ATTACH_H

#include "channel/hello.h"
#include "traced/shim.h"

/*
 * Builds the shim and says HELLO to the recorder named in envp.  Without a
 * recorder, or when it does not answer within CT_HELLO_TIMEOUT_MS, the wrappers
 * pass through for the life of this image.  Does nothing the second time.
 * Constructor context: one thread.
 */
void ct_attach(char **envp);

/* Fills shim->next. */
void ct_next_find_all(struct ct_shim *shim);

/*
 * The exchange: address is the value of CT_ENV_RECORDER.  On success the
 * segment is mapped and *ret_slot is ours, CLAIMED; where the segment's engine is
 * uffd, shim->uffd and the stacks' range are filled in.  Nothing stays open.
 * Returns 0 or -errno.
 */
int ct_hello_say(const char *address, struct ct_hello *hello, struct ct_shim *shim,
		 struct ct_segment **ret_seg, u32 *ret_slot);

#endif
