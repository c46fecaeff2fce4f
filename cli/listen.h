/* SPDX-License-Identifier: MIT */
/* The socket of `cowtrace record --listen`. */
#ifndef CT_CLI_LISTEN_H
#define CT_CLI_LISTEN_H

#include <sys/stat.h>

#include "base/err.h"

struct ct_listen {
	char path[128]; /* as given; "" without */
	int fd;		/* SOCK_SEQPACKET, listening */
	dev_t dev;	/* of the file that it made, ... */
	ino_t ino;	/* ... which alone it removes */
};

/*
 * Makes the socket at path and listens there; -1 for a gid leaves it to its owner
 * alone (0600), else that group may connect too (0660).  A socket that nobody answers
 * on is replaced; anything else there is refused.
 * 0, or an exit status (exit.h) with the sentence in *err.
 */
int ct_listen_open(struct ct_listen *l, const char *path, gid_t gid, struct ct_err *err);

/* Removes the file, unless somebody else's stands there by now.  The descriptor stays. */
void ct_listen_remove(const struct ct_listen *l);

#endif
