/* SPDX-License-Identifier: MIT */
/* The serving thread's loop. */
#ifndef CT_RECORDER_SERVE_H
#define CT_RECORDER_SERVE_H

#include "recorder/state.h"

/*
 * Serves until every traced process has gone and the command has ended, or
 * until told to stop.  seg_fd: the segment's memfd, given to those who say HELLO.
 */
void ct_serve(struct ct_rec_ctx *c, int seg_fd);

#endif
