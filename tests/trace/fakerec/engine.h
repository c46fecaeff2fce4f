/* SPDX-License-Identifier: MIT */
/*
 * The fake recorder's engine: it protects what it is told to, lets every write
 * go on, and asks for stacks; it judges nothing.
 */
#ifndef TEST_FAKEREC_ENGINE_H
#define TEST_FAKEREC_ENGINE_H

#include <stdio.h>

#include "channel/segment.h"

/* Starts its thread.  Returns the device to hand out, or -errno: then none is. */
int engine_start(struct ct_segment *seg, FILE *log, bool device);

/* Takes the image's word (struct ct_uffd_msg) from the socket of its HELLO. */
void engine_welcome(int conn, s32 pid);

/* Protects all private anonymous memory of the process. */
void engine_arm(s32 pid);

/* Looks for answers; those that have not come in the end are said to be lost. */
void engine_gather(bool end);

#endif
