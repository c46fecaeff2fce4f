/* SPDX-License-Identifier: MIT */
/* When a recording goes on in another file, and what that file must be told. */
#ifndef CT_RECORDER_ROTATION_H
#define CT_RECORDER_ROTATION_H

#include "recorder/state.h"

struct ct_rotation {
	u64 len, every_ns; /* when: bytes of the file, its age; 0: not so */
	bool asked;	   /* now */
	u32 file;	   /* number of the running one, from 0 */
	u64 began_ns, tried_ns;
	/* Records put, when it had been told of all that goes on; how many of these told that. */
	u64 nr_put, nr_told;
	u32 mark;
};

/* Goes on in the next file where that is due; to be called now and then. */
void ct_rotation_run(struct ct_rec_ctx *c, u64 now);

#endif
