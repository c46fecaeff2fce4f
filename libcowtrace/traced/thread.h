/* SPDX-License-Identifier: MIT */
/*
 * What a thread remembers of itself for the handler.  Written where something
 * changes, which is rare: it lies in a page that a fork shares.
 */
#ifndef CT_TRACED_THREAD_H
#define CT_TRACED_THREAD_H

#include "base/base.h"

struct ct_thread_state {
	u16 piece;    /* its piece of stack plus one; 0: none */
	bool ready;   /* it stands in the table of threads */
	bool blocked; /* the program believes that it has our signal blocked */
};

/* Initial-exec: no allocation at first use, no look-up in the handler. */
extern __thread struct ct_thread_state ct_thread_state ct_hidden
	__attribute__((tls_model("initial-exec")));

#endif
