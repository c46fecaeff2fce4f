/* SPDX-License-Identifier: MIT */
/* Whole files of /proc and /sys, read into a buffer that is used again. */
#ifndef CT_SYS_PROCFILE_H
#define CT_SYS_PROCFILE_H

#include <sys/types.h>

#include "base/base.h"

/* Zero-initialise; ct_textbuf_fini at the end. */
struct ct_textbuf {
	char *text; /* NUL-terminated after a reading */
	size_t len;
	size_t cap;
};

/*
 * Opens /proc/PID/NAME for reading, close-on-exec.
 * 0, -ESRCH (no such process, or no memory any more), -EACCES, -EPERM, -EMFILE, ...
 */
int ct_proc_open(pid_t pid, const char *name, int *ret_fd);

/*
 * Reads fd from offset 0 to its end into buf, growing it.  Thread-safe.
 * 0; -errno: a read failed, -ENOMEM, -EFBIG past 1 GiB; then buf holds nothing.
 */
int ct_textbuf_read_fd(struct ct_textbuf *buf, int fd);

/* Both, for a process's file and for any path. */
int ct_textbuf_read_proc(struct ct_textbuf *buf, pid_t pid, const char *name);
int ct_textbuf_read_path(struct ct_textbuf *buf, const char *path);

void ct_textbuf_fini(struct ct_textbuf *buf);

/*
 * Unsigned decimal number at *p, which is moved past it; blanks before it are
 * skipped.  false: there is none, or it does not fit 64 bits.
 */
bool ct_parse_u64(const char **p, u64 *ret);

/* The value of the line "KEY VALUE..." with key at a line's start; NULL: there is none. */
const char *ct_text_find_key(const char *text, const char *key);

#endif
