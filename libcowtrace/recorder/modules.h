/* SPDX-License-Identifier: MIT */
/*
 * Modules: files that hold the code of traced programs, each once in a
 * recording; and where an image has them mapped.  A program counter becomes a
 * module and a file offset, so that call sites compare across processes.
 */
#ifndef CT_RECORDER_MODULES_H
#define CT_RECORDER_MODULES_H

#include "recorder/outbox.h"
#include "sys/maps.h"

struct ct_modules;

struct ct_modules *ct_modules_create(struct ct_outbox *out);
void ct_modules_destroy(struct ct_modules *m);

/* Where one image has its code; shared by the processes forked from it. */
struct ct_modmap;

struct ct_modmap *ct_modmap_ref(struct ct_modmap *map);
void ct_modmap_unref(struct ct_modmap *map); /* NULL is fine */

/* From the executable mappings of a process (its root: /proc/PID/root).  NULL: no memory. */
struct ct_modmap *ct_modmap_create(struct ct_modules *m, pid_t pid, const struct ct_maps *maps);

/* False when pc lies in no mapped file: JIT code, or a module loaded later. */
bool ct_modmap_frame(const struct ct_modmap *map, u64 pc, struct ct_rec_frame *ret);

/* The trace goes on in another file, which has to be told of modules anew ... */
void ct_modules_next_file(struct ct_modules *m);
/* ... when something there names them.  0 is fine. */
void ct_modules_need(struct ct_modules *m, u32 id);

/* The path of a module id, "" for 0. */
const char *ct_modules_path(const struct ct_modules *m, u32 id);

#endif
