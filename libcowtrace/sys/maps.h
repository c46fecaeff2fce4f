/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps: the VMAs of a process. */
#ifndef CT_SYS_MAPS_H
#define CT_SYS_MAPS_H

#include <sys/types.h>

#include "base/base.h"

struct ct_vma {
	u64 start;
	u64 end;
	u64 offset; /* bytes into the file */
	u64 ino;    /* 0: anonymous */
	u32 dev_major, dev_minor;
	bool r, w, x;
	bool shared;	  /* MAP_SHARED */
	const char *name; /* "" or as printed: path, [heap], [stack], [anon:NAME] */
};

/* One reading.  Zero-initialise; reuse for the next reading; _fini at the end. */
struct ct_maps {
	char *text; /* as read, also after a parse: equal texts are equal VMAs */
	size_t text_len;
	size_t text_cap;
	char *names; /* a copy of it, in which the names end in NUL */
	size_t names_cap;
	struct ct_vma *vmas; /* ascending */
	size_t nr;
	size_t cap;
};

/*
 * Reads the text of pid's maps (no parsing).  A reading is not atomic: VMAs
 * that change meanwhile may be missed, never torn.  0, or -errno; text_len 0
 * when the process has no memory any more.
 */
int ct_maps_read(pid_t pid, struct ct_maps *m);

/* Parses m->text into m->vmas.  0, -ENOMEM, or -EINVAL for text that is not a maps file. */
int ct_maps_parse(struct ct_maps *m);

/* Both.  */
int ct_maps_load(pid_t pid, struct ct_maps *m);

/*
 * Brings m up to date.  m holds a parsed reading: of this process, or of one that
 * is likely to look the same (its parent; the last child of the same parent).
 * Where the VMAs of pid are those of m, m is left alone and *ret_changed is false:
 * 0.35 us a VMA, against 0.3 to print an anonymous one and 1 to print a path.  A
 * name given by PR_SET_VMA_ANON_NAME and nothing else is no change.  Otherwise
 * (or where the kernel has no PROCMAP_QUERY, Linux 6.11) m is loaded anew, and
 * *ret_changed tells whether its text is another one.  An empty m is fine.
 * Returns as ct_maps_load(); on an error m is empty.
 */
int ct_maps_refresh(pid_t pid, struct ct_maps *m, bool *ret_changed);

/* The VMA that holds addr, or NULL.  Binary search. */
const struct ct_vma *ct_maps_find(const struct ct_maps *m, u64 addr);

void ct_maps_fini(struct ct_maps *m);

#endif
