/* SPDX-License-Identifier: MIT */
#ifndef KVSNAP_H
#define KVSNAP_H

#include <cowtrace/snapshot.h>
#include <stddef.h>

#define BUF_LEN (1u << 20)

struct client {
	char in[BUF_LEN], out[BUF_LEN];
	size_t in_len, out_len;
};

struct arg {
	char *p; /* ends in NUL, may hold others */
	size_t len;
};

extern struct cowtrace_heap *kv_heap;
extern struct store *kv_store;

/* commands.c: carries it out and appends the answer to c->out. */
void kv_command(struct client *c, struct arg *a, size_t nr);

#endif
